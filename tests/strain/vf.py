"""The vision foundation model loss of VA-VAE (arXiv 2501.01423, section 3.2): an encoder aligned with a teacher.

``relu(1 - m1 - cos(W z, f))``, averaged over places, and ``relu(|cos(z_i, z_j) - cos(f_i, f_j)| - m2)``, averaged over
pairs of places. The paper aligns the latent, and weighs the term so that its gradient at the encoder's last layer is
as large as the others'. At a ``tap`` it is an encoder's REPA (arXiv 2410.06940), which comes before that layer.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

import tokzoo
from tokzoo.contracts.specs import LAST_LAYER
from tokzoo.nn.adaptive_weight import adaptive_weight
from tokzoo.nn.frozen_network import WithFrozenNetwork


class VFConfig(tokzoo.RegularizerConfig):
    teacher: Annotated[tokzoo.Slot, tokzoo.ComponentRef["teacher"]]
    tap: tokzoo.Tap | None = None
    cosine_margin: float = 0.5
    distance_margin: float = 0.25

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({f"encoder.{LAST_LAYER}"} if self.tap is None else ())

    def encoder_taps(self) -> tuple[tokzoo.Tap, ...]:
        return () if self.tap is None else (self.tap,)

    def accepts(self, chain: tokzoo.Chain) -> None:
        ours = chain.latent.shape if self.tap is None else chain.encoder_hidden[self.tap].shape
        theirs = self.teacher.config.hidden_spec(chain.image).shape
        if ours != theirs:
            raise tokzoo.Refusal(f"aligns place by place, and there are {ours} of the encoder, {theirs} of the teacher")


class VF(WithFrozenNetwork, tokzoo.Regularizer):
    def __init__(self, config: VFConfig, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self.hold(tokzoo.build_teacher(config.teacher, chain.image))
        width = chain.latent.channels if config.tap is None else chain.encoder_hidden[config.tap].dim
        self.project = nn.Linear(width, config.teacher.config.hidden_spec(chain.image).dim, bias=False)

    def start(self) -> None:
        tokzoo.start(self.network)

    def terms(self, state: tokzoo.Pass) -> dict[str, Tensor]:
        tap = self.config.tap
        ours = state.encoded.latent if tap is None else state.encoded.hidden[tap]
        if self.network not in state.memo:
            state.memo[self.network] = self.network(state.images)
        theirs = state.memo[self.network]
        cosine = F.cosine_similarity(self.project(ours), theirs, dim=-1)
        difference = (gram(ours) - gram(theirs)).abs()
        return {
            "cosine": F.relu(1 - self.config.cosine_margin - cosine).mean(),
            "distance": F.relu(difference - self.config.distance_margin).mean(),
        }

    def adapt(self, own: Tensor, others: Mapping[str, Tensor], state: tokzoo.Pass) -> Tensor | None:
        if self.config.tap is not None:
            return None
        return adaptive_weight(sum(others.values()), own / self.config.weight, state.tokenizer.encoder.last_layer())


def gram(tokens: Tensor) -> Tensor:
    """Cosines of all pairs of the tokens of an image, ``[B, T, T]``."""
    unit = F.normalize(tokens, dim=-1)
    return unit @ unit.transpose(1, 2)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    example: dict[str, Any] = {"teacher": "fashion"}
    return [tokzoo.ComponentSpec("regularizer", "strain/vf", VFConfig, VF, "VA-VAE's term", example=example)]
