"""The training objective of a tokenizer: one module, so that compile, DDP and FSDP have one thing to wrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.configs import ComponentConfig, RegularizerConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Adversary, Regularizer
from tokzoo.contracts.outputs import Decoded, Encoded, Pass, Progress, View


@dataclass(slots=True)
class Losses:
    """What a player of the objective minimises.

    Attributes:
        total: the weighted sum, differentiable.
        terms: the unweighted terms by name (``role`` or ``role.term``), detached.
        state: the pass they were computed on.
    """

    total: Tensor
    terms: dict[str, Tensor]
    state: Pass

    @property
    def logged(self) -> dict[str, Tensor]:
        """The terms, and the quantizer's statistics."""
        found = {} if self.state.quantized is None else self.state.quantized.statistics
        return {**self.terms, **{f"quantizer.{name}": value for name, value in found.items()}}


class Objective(nn.Module):
    """A tokenizer and the regularizers that shape it. Every path a loss needs goes through ``forward``."""

    def __init__(self, tokenizer: Tokenizer, regularizers: Mapping[str, Regularizer]) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.regularizers = nn.ModuleDict(regularizers)

    @property
    def players(self) -> dict[str, Regularizer]:
        """The regularizers by role."""
        return cast(dict[str, Regularizer], dict(self.regularizers.items()))

    def forward(
        self,
        images: Tensor,
        labels: Tensor | None,
        progress: Progress,
        adversary: str | None = None,
        state: Pass | None = None,
    ) -> Losses:
        """The tokenizer's losses on ``images``; or, with ``adversary`` and the pass it answers, that adversary's."""
        if adversary is not None:
            assert state is not None
            return self._adversary(adversary, state)
        active = self.active(progress)
        state = self._pass(images, labels, progress, active)
        sums = _Sum(images)
        assert state.quantized is not None
        assert state.decoded is not None
        sums.add("quantizer", self.tokenizer.quantizer.config, state.quantized.losses)
        sums.add("decoder", self.tokenizer.decoder.config, state.decoded.losses)
        for role, regularizer in active.items():
            sums.add(role, regularizer.config, regularizer.terms(state))
        return Losses(sums.total, sums.terms, state)

    def active(self, progress: Progress) -> dict[str, Regularizer]:
        """The regularizers whose gate is open."""
        gates: dict[str, RegularizerConfig] = {role: part.config for role, part in self.players.items()}
        return {
            role: self.players[role] for role, config in gates.items() if progress.is_open(config.start, config.stop)
        }

    def _pass(self, images: Tensor, labels: Tensor | None, progress: Progress, active: dict[str, Regularizer]) -> Pass:
        state = Pass(self.tokenizer, images, labels, progress, self.tokenizer.encoder(images))
        state.quantized = self.tokenizer.quantizer(state.encoded.latent)
        assert state.quantized is not None
        latent = state.quantized.latent
        for regularizer in active.values():
            latent = regularizer.transform(latent, state)
        state.decoded = self.tokenizer.decoder(latent, images)
        assert state.decoded is not None
        state.views["main"] = View(state.decoded, images)
        for regularizer in active.values():
            state.views.update(regularizer.views(state))
        return state

    def _adversary(self, role: str, state: Pass) -> Losses:
        player = self.regularizers[role]
        assert isinstance(player, Adversary)
        sums = _Sum(state.images)
        sums.add(f"{role}.adversary", player.config, player.adversary_terms(state))
        return Losses(sums.total, sums.terms, state)


class _Sum:
    """Adds weighted terms and keeps the unweighted ones by name."""

    def __init__(self, like: Tensor) -> None:
        self.total = like.new_zeros(())
        self.terms: dict[str, Tensor] = {}

    def add(self, owner: str, config: ComponentConfig, terms: Mapping[str, Tensor]) -> None:
        for name, value in terms.items():
            full = f"{owner}.{name}" if name else owner
            if value.ndim:
                raise TokzooError(f"loss term {full} must be a scalar, and has the shape {list(value.shape)}")
            self.total = self.total + config.weight_of(name) * value
            self.terms[full] = value.detach()


def detached(state: Pass) -> Pass:
    """The pass as an adversary sees it: the same images and latents, no way back to the tokenizer."""
    feature_map = state.encoded.feature_map
    encoded = Encoded(state.encoded.latent.detach(), None if feature_map is None else feature_map.detach())
    views = {
        name: View(Decoded(view.decoded.images.detach()), view.target.detach()) for name, view in state.views.items()
    }
    return Pass(state.tokenizer, state.images, state.labels, state.progress, encoded, views=views)
