"""Configs of the regularizers, without torch."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tokzoo import Chain, ComponentRef, Config, ImageTermConfig, Refusal, RegularizerConfig
from tokzoo.contracts.specs import Tap

MAP_TAP = "map"
"""The tap where a decoder serves the feature map it hands to its last part."""


class L1Config(ImageTermConfig):
    """Mean absolute error, see ``tokzoo_losses.l1``."""


class L2Config(ImageTermConfig):
    """Mean squared error, see ``tokzoo_losses.l2``."""


class EntropyConfig(RegularizerConfig):
    """Entropy of the assignment of latents to codes, see ``tokzoo_losses.entropy``."""

    requires: ClassVar[frozenset[str]] = frozenset({"assignment"})

    temperature: float = Field(0.01, gt=0, description="of the softmax over negated squared distances to the codes")


class FeatureConfig(ImageTermConfig):
    """Distance in a teacher's features, see ``tokzoo_losses.feature``."""

    teacher: ComponentRef["teacher"] = Field(description="the network whose features are compared")

    def accepts(self, chain: Chain) -> None:
        """Refuse images that the teacher refuses."""
        self.teacher.config.hidden_spec(chain.image)


class ProjectionConfig(Config):
    """The head that maps a tap to the teacher's channels: linear maps with an activation between them."""

    layers: PositiveInt = Field(3, description="linear maps")
    expansion: PositiveInt = Field(4, description="width between the linear maps, as a multiple of the tap's")
    activation: Literal["silu", "gelu"] = Field("silu", description="between the linear maps")
    init_std: PositiveFloat | None = Field(
        0.02, description="deviation of the weights at the start, biases 0; null: fan-in^-1/2"
    )


class SemanticConfig(RegularizerConfig):
    """Alignment of the decoder with a teacher, see ``tokzoo_losses.semantic``."""

    weight: float = Field(0.5, description="factor of the term in the objective")
    teacher: ComponentRef["teacher"] = Field(description="the network whose features the decoder aligns with")
    tap: PositiveInt | str = Field(3, description="where the decoder is read: a layer number from 1 on, or a name")
    projection: ProjectionConfig = Field(ProjectionConfig(), description="the head from the tap to the features")

    def taps(self) -> tuple[Tap, ...]:
        """Its one tap."""
        return (self.tap,)

    def accepts(self, chain: Chain) -> None:
        """Refuse hidden states or features that are no grid: their tokens have no common place in the image."""
        hidden, features = chain.hidden[self.tap], self.teacher.config.hidden_spec(chain.image)
        for owner, spec in ((f"tap {self.tap!r}", hidden), (f"teacher {self.teacher.use!r}", features)):
            if len(spec.shape) != 2:
                raise Refusal(
                    f"aligns tokens place by place, and {owner} serves {spec.positions} tokens that form no grid: "
                    "choose a tap and a teacher that follow the image"
                )


class ShortcutConfig(RegularizerConfig):
    """Reconstruction around the quantizer, through the feature map, see ``tokzoo_losses.shortcut``."""

    requires: ClassVar[frozenset[str]] = frozenset({"feature_map_decoding"})

    weight: float = Field(1.0, description="factor of the feature term; the direct view is weighed by its image terms")
    feature: Literal["mse", "cosine", "none"] = Field(
        "mse", description="how the decoder's feature map is drawn to the encoder's"
    )
    direct: bool = Field(True, description='add the view "shortcut", decoded straight from the encoder\'s feature map')

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.feature == "none" and not self.direct:
            raise ValueError("feature: none and direct: false leave nothing to do: remove the regularizer instead")
        return self

    def taps(self) -> tuple[Tap, ...]:
        """The decoder's feature map, where it is compared."""
        return () if self.feature == "none" else (MAP_TAP,)

    def accepts(self, chain: Chain) -> None:
        """Refuse a tokenizer whose encoder hands on no feature map, or another one than the decoder makes."""
        theirs = chain.feature_map
        if theirs is None:
            raise Refusal("decodes the encoder's feature map, and this encoder hands on none")
        if self.feature != "none":
            ours = chain.hidden[MAP_TAP]
            if (ours.shape, ours.dim) != (theirs.size, theirs.channels):
                place = "×".join(map(str, ours.shape))
                raise Refusal(
                    f"compares the encoder's {theirs} with the decoder's, which has {ours.dim} channels in {place}: "
                    "give both sides the same map"
                )
