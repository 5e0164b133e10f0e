"""What a saved tokenizer says of itself: its recipe and its images. No torch here, and no weight is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.files import known_hash, read_json, write_json

FORMAT = "tokzoo.tokenizer/1"
WEIGHTS = "tokenizer.safetensors"
DESCRIPTION = "tokenizer.json"
REGULARIZERS = "regularizers.safetensors"
RECIPE = "recipe.yaml"
"""A folder with this file can be run by its path, like a recipe."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The folder of a saved tokenizer.

    Attributes:
        recipe: of the tokenizer, every field given.
        image: what its images are.
        classes: of the dataset it was trained on, if any.
    """

    folder: Path
    recipe: Mapping[str, Any]
    image: ImageSpec
    classes: int | None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its weights."""
        return known_hash(self.folder / WEIGHTS)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the description.

        Raises:
            TokzooError: not a tokenizer's folder, or not one that this version reads.
        """
        path = folder / DESCRIPTION
        if not path.is_file() or not (folder / WEIGHTS).is_file():
            raise TokzooError(f"{folder}: not a saved tokenizer ({DESCRIPTION} and {WEIGHTS} expected)")
        try:
            found = read_json(path)
            if found["format"] != FORMAT:
                raise TokzooError(f"{path}: format {found['format']!r}; this reads {FORMAT}")
            image = ImageSpec(found["image"]["channels"], tuple(found["image"]["size"]))
            return cls(folder, dict(found["recipe"]), image, found["classes"])
        except (ValueError, KeyError, TypeError) as error:
            raise TokzooError(
                f"{path}: not the description of a tokenizer ({type(error).__name__}: {error})"
            ) from error

    def write(self) -> None:
        """Write the description into the folder."""
        image = asdict(self.image)
        content = {"format": FORMAT, "recipe": self.recipe, "image": image, "classes": self.classes}
        write_json(self.folder / DESCRIPTION, content)
