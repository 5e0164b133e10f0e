"""What a saved tokenizer says of itself: its recipe and its images. No torch here, and no weight is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.files import known_hash, read_json, write_json
from tokzoo.recipes.mistakes import REFERENCE

FORMAT = "tokzoo.tokenizer/1"
WEIGHTS = "tokenizer.safetensors"
DESCRIPTION = "tokenizer.json"
REGULARIZERS = "regularizers.safetensors"
RECIPE = "recipe.yaml"
"""A folder with this file can be run by its path, like a recipe."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The folder of a saved tokenizer. A field of this type is written as the folder's path, and published as a hash.

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

    @property
    def regularizers_fingerprint(self) -> str:
        """The SHA-256 of what its regularizers learned."""
        return known_hash(self.folder / REGULARIZERS)

    def trained_roles(self) -> tuple[str, ...]:
        """``regularizers.ROLE`` for each regularizer, if what they learned was saved."""
        saved = (self.folder / REGULARIZERS).is_file()
        return tuple(f"regularizers.{role}" for role in self.recipe.get("regularizers", ())) if saved else ()

    def identity(self) -> str:
        """What results depend on: its weights."""
        return self.fingerprint

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

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read from the path of its folder."""

        def read(given: Any) -> Saved:
            if isinstance(given, cls):
                return given
            problem = f"expected the folder of a saved tokenizer, found {given!r}"
            try:
                if isinstance(given, str | Path):
                    return cls.read(Path(given).expanduser())
            except TokzooError as error:
                problem = str(error)
            raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": [((), problem)]})

        def dump(saved: Saved, info: core_schema.SerializationInfo) -> str:
            return str(saved.folder) if (info.context or {}).get("places", True) else f"sha256:{saved.fingerprint}"

        written = core_schema.plain_serializer_function_ser_schema(dump, info_arg=True)
        return core_schema.no_info_plain_validator_function(read, serialization=written)
