"""What a saved model says of itself: its recipe and its images. No torch here, and no weight is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.files import expanded, known_hash, reading
from tokzoo.data.run_folder import CellFolder
from tokzoo.recipes.mistakes import REFERENCE

FORMAT = "tokzoo.tokenizer/1"
WEIGHTS = "tokenizer.safetensors"
DESCRIPTION = "tokenizer.json"
REGULARIZERS = "regularizers.safetensors"
AR_FORMAT = "tokzoo.ar/1"
AR_WEIGHTS = "ar.safetensors"
AR_DESCRIPTION = "ar.json"


@dataclass(frozen=True, slots=True)
class SavedModel:
    """The folder of a saved model. A field of this type is written as the folder's path, and published as a hash.

    Attributes:
        recipe: every field given.
        image: what its images are.
        classes: of the dataset it was trained on, if any.
    """

    what: ClassVar[str]
    stage: ClassVar[str]
    """Of a cell: it makes such a folder."""
    format: ClassVar[str]
    files: ClassVar[tuple[str, str]]
    """Of its description and its weights."""

    folder: Path
    recipe: Mapping[str, Any]
    image: ImageSpec
    classes: int | None
    _hashes: dict[str, str] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its weights, as they were when this was first asked."""
        return self._hash(self.files[1])

    def _hash(self, name: str) -> str:
        if name not in self._hashes:
            self._hashes[name] = known_hash(self.folder / name)
        return self._hashes[name]

    def identity(self) -> str:
        """What results depend on: its weights."""
        return self.fingerprint

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the description.

        Raises:
            TokzooError: not such a folder, or not one that this version reads.
        """
        path = folder / cls.files[0]
        if not path.is_file() or not (folder / cls.files[1]).is_file():
            raise TokzooError(f"{folder}: not a saved {cls.what} ({' and '.join(cls.files)} expected)")
        with reading(path, f"the description of a saved {cls.what}", ValueError, KeyError, TypeError):
            found = read_checked(path)
            if found["format"] != cls.format:
                raise TokzooError(f"{path}: format {found['format']!r}; this reads {cls.format}")
            image = ImageSpec(found["image"]["channels"], tuple(found["image"]["size"]))
            return cls(folder, dict(found["recipe"]), image, found["classes"])

    @classmethod
    def of(cls, given: Any) -> Self:
        """From the path of its folder, or of a cell's, as a recipe names it.

        Raises:
            TokzooError: it is no path, or not such a folder; or the cell has none yet.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, str | Path):
            raise TokzooError(f"expected the folder of a saved {cls.what}, found {given!r}")
        folder = expanded(given)
        if not folder.is_dir():
            raise TokzooError(f"{folder}: no such folder; name that of a saved {cls.what}, or of a cell (runs/cells/…)")
        cell = CellFolder(folder)
        return cls.read(cell.trained(cls.stage) if cell.is_there() else folder)

    def write(self) -> None:
        """Write the description into the folder."""
        image = asdict(self.image)
        content = {"format": self.format, "recipe": self.recipe, "image": image, "classes": self.classes}
        write_checked(self.folder / self.files[0], content)

    def published(self, places: bool = True) -> str:
        """Its folder; without ``places``, the hash of its weights."""
        return str(self.folder) if places else f"sha256:{self.fingerprint}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read from the path of its folder."""

        def read(given: Any) -> SavedModel:
            try:
                return cls.of(given)
            except TokzooError as error:
                raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": [((), str(error))]}) from None

        def dump(saved: SavedModel, info: core_schema.SerializationInfo) -> str:
            return saved.published((info.context or {}).get("places", True))

        written = core_schema.plain_serializer_function_ser_schema(dump, info_arg=True)
        return core_schema.no_info_plain_validator_function(read, serialization=written)


@dataclass(frozen=True, slots=True)
class Saved(SavedModel):
    """The folder of a saved tokenizer."""

    what: ClassVar[str] = "tokenizer"
    stage: ClassVar[str] = "tokenizer"
    format: ClassVar[str] = FORMAT
    files: ClassVar[tuple[str, str]] = (DESCRIPTION, WEIGHTS)

    @property
    def regularizers_fingerprint(self) -> str:
        """The SHA-256 of what its regularizers learned."""
        return self._hash(REGULARIZERS)

    def trained_roles(self) -> tuple[str, ...]:
        """``regularizers.ROLE`` for each regularizer, if what they learned was saved."""
        saved = (self.folder / REGULARIZERS).is_file()
        return tuple(f"regularizers.{role}" for role in self.recipe.get("regularizers", ())) if saved else ()


@dataclass(frozen=True, slots=True)
class SavedAR(SavedModel):
    """The folder of a saved AR model; its recipe is that of the tokenizer whose codes it learned, with its ``ar``."""

    what: ClassVar[str] = "AR model"
    stage: ClassVar[str] = "ar"
    format: ClassVar[str] = AR_FORMAT
    files: ClassVar[tuple[str, str]] = (AR_DESCRIPTION, AR_WEIGHTS)
