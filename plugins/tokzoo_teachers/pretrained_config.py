"""What the configs of pretrained networks share: the file, the preprocessing and the shape. No torch here."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from tokzoo import HiddenSpec, ImageSpec, Refusal, TeacherConfig
from tokzoo.nn.weight_caches import to_be_fetched


class PretrainedConfig(TeacherConfig):
    """A network that was trained elsewhere, of a library that knows it by name. Its tokens form a square grid."""

    contents: ClassVar[frozenset[str]] = frozenset({"weights"})
    side_field: ClassVar[str] = "patch"
    """The field that gives :attr:`side` where the name does not."""

    model: str = Field(min_length=1, description="the library's name of the model")
    weights: str | None = Field(
        None, description="path of its weights (.safetensors, .pth); null: from the library's hub or its cache"
    )
    image_size: PositiveInt = Field(224, description="side that images are resized to, in pixels")
    interpolation: Literal["bicubic", "bilinear"] = Field("bicubic", description="how they are resized")
    dim: PositiveInt | None = Field(None, description="channels of the features; null: known from the name")

    @model_validator(mode="after")
    def _shape_is_known(self) -> Self:
        for field, value in ((self.side_field, self.side), ("dim", self.channels)):
            if value is None:
                raise ValueError(f"the name of model {self.named!r} does not tell its {field}: give {field}")
        if self.image_size < (self.side or 0):
            raise ValueError(f"image_size {self.image_size} is smaller than a {self.side_field} of {self.side}")
        return self

    @property
    def named(self) -> str:
        """What the shape is read off."""
        return self.model

    @property
    def side(self) -> int | None:
        """The side of a token in pixels of the resized image, if it is known."""
        return None

    @property
    def channels(self) -> int | None:
        """The channels of the features, if they are known."""
        return self.dim

    @property
    def normalises_first(self) -> bool:
        """Whether images are normalised before they are resized; the order matters to rounding only."""
        return False

    def stored(self) -> tuple[str, bool]:
        """The file of its weights, in words, and whether it was fetched before; of a model the library knows."""
        return f"the weights of {self.model}", False

    def missing(self) -> list[str]:
        """Its weights, where they are to be fetched."""
        if self.weights is not None:
            return []
        source, is_here = self.stored()
        return [] if is_here else [to_be_fetched(source)]

    def hidden_spec(self, image: ImageSpec) -> HiddenSpec:
        """One token for each cell of the resized image's grid."""
        if image.channels not in (1, 3):
            raise Refusal(f"sees images of 1 or 3 channels, not a {image}")
        cells = self.image_size // (self.side or 1)
        return HiddenSpec((cells, cells), self.channels or 0)
