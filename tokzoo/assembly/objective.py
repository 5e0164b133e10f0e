"""The training objective of a tokenizer: one module, so that compile, DDP and FSDP have one thing to wrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from tokzoo.assembly.answers import expected
from tokzoo.assembly.build import start
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.configs import ComponentConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Adversary, Regularizer
from tokzoo.contracts.outputs import Decoded, Encoded, Pass, Progress, Quantized, View


@dataclass(slots=True)
class Losses:
    """What the tokenizer, or an adversary, minimises.

    Attributes:
        total: the weighted sum, differentiable.
        terms: the unweighted terms by name (``role`` or ``role.term``), detached; and ``role.factor`` where a role
            adapts its weight.
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


class _ByRole(nn.ModuleDict):
    """Modules by names that the user chose, be they those of its own methods (``type``)."""

    def add_module(self, name: str, module: Any) -> None:
        self._modules[name] = module


class Objective(nn.Module):
    """A tokenizer and the regularizers that shape it. Every path a loss needs goes through ``forward``."""

    def __init__(self, tokenizer: Tokenizer, regularizers: Mapping[str, Regularizer]) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.regularizers = _ByRole(regularizers)

    @property
    def by_role(self) -> dict[str, Regularizer]:
        """The regularizers by role."""
        return cast(dict[str, Regularizer], dict(self.regularizers.items()))

    def part(self, name: str) -> nn.Module:
        """The module of a part of a recipe: encoder, quantizer, decoder, or ``regularizers.ROLE``."""
        role = name.removeprefix("regularizers.")
        return cast(nn.Module, getattr(self.tokenizer, name) if role == name else self.regularizers[role])

    def start(self) -> None:
        """Have every component read and draw what only training needs, see ``ComponentModule.start``.

        Raises:
            TokzooError: weights are missing, or are others.
        """
        tokenizer = self.tokenizer
        for module in (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder, *self.by_role.values()):
            start(module)

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
        for view, decoded in _decodings(state).items():
            sums.add("decoder", self.tokenizer.decoder.config, decoded.losses, view)
        for role, regularizer in active.items():
            terms = expected(regularizer.terms(state), dict, f"regularizers.{role}", "terms")
            sums.add(role, regularizer.config, terms)
        sums.adapt({role: part for role, part in active.items() if _adapts(part)}, state)
        return Losses(sums.total, sums.terms, state)

    def active(self, progress: Progress) -> dict[str, Regularizer]:
        """The regularizers whose gate is open."""
        return {
            role: part for role, part in self.by_role.items() if progress.is_open(part.config.start, part.config.stop)
        }

    def _pass(self, images: Tensor, labels: Tensor | None, progress: Progress, active: dict[str, Regularizer]) -> Pass:
        tokenizer = self.tokenizer
        state = Pass(tokenizer, images, labels, progress, tokenizer.encoded(images))
        state.quantized = tokenizer.quantized(state.encoded.latent)
        latent = state.quantized.latent
        for role, regularizer in active.items():
            latent = expected(regularizer.transform(latent, state), Tensor, f"regularizers.{role}", "transform")
        decoded = tokenizer.decoder(latent, images)
        state.decoded = expected(decoded, Decoded, tokenizer.named("decoder"), "forward")
        state.views["main"] = View(state.decoded, images)
        for role, regularizer in active.items():
            state.views.update(expected(regularizer.views(state), dict, f"regularizers.{role}", "views"))
        return state

    def _adversary(self, role: str, state: Pass) -> Losses:
        adversary = self.regularizers[role]
        assert isinstance(adversary, Adversary)
        sums = _Sum(state.images)
        terms = expected(adversary.adversary_terms(state), dict, f"regularizers.{role}", "adversary_terms")
        sums.add(f"{role}.adversary", adversary.config, terms)
        return Losses(sums.total, sums.terms, state)


def _decodings(state: Pass) -> dict[str, Decoded]:
    """What was decoded in a pass, each once, by view; that of the plain reconstruction under ""."""
    found: dict[str, Decoded] = {}
    for name, view in state.views.items():
        if not any(view.decoded is known for known in found.values()):
            found["" if name == "main" else name] = view.decoded
    return found


def _adapts(regularizer: Regularizer) -> bool:
    return type(regularizer).adapt is not Regularizer.adapt


class _Sum:
    """Adds weighted terms, and keeps the unweighted ones by name."""

    def __init__(self, like: Tensor) -> None:
        self.terms: dict[str, Tensor] = {}
        self._like = like
        self._weighted: list[tuple[str, Tensor]] = []
        self._factors: dict[str, Tensor] = {}

    @property
    def total(self) -> Tensor:
        """The sum, in the order the terms were added."""
        total = self._like.new_zeros(())
        for owner, value in self._weighted:
            total = total + (self._factors[owner] * value if owner in self._factors else value)
        return total

    def add(self, owner: str, config: ComponentConfig, terms: Mapping[str, Tensor], view: str = "") -> None:
        """Add the terms of an owner; those of a further decoding bear the name of its view."""
        for name, value in terms.items():
            full = ".".join(filter(None, (owner, view, name)))
            _check_scalar(f"loss term {full}", value)
            self._weighted.append((owner, config.weight_of(name) * value))
            self.terms[full] = value.detach()

    def adapt(self, adaptive: Mapping[str, Regularizer], state: Pass) -> None:
        """Let roles set a factor for their terms, each from its own and from the terms of those that set none."""
        if not adaptive:
            return
        owners = {owner: sum(v for each, v in self._weighted if each == owner) for owner, _ in self._weighted}
        others = {owner: cast(Tensor, value) for owner, value in owners.items() if owner not in adaptive}
        for role, regularizer in adaptive.items():
            if role not in owners:
                continue
            try:
                factor = regularizer.adapt(cast(Tensor, owners[role]), others, state)
                if factor is None:
                    continue
                _check_scalar("its factor", factor)
            except TokzooError as error:
                raise TokzooError(f"regularizers.{role}: {error}") from error
            self._factors[role] = factor.detach()
            self.terms[f"{role}.factor"] = factor.detach()


def _check_scalar(what: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TokzooError(f"{what} must be a scalar tensor, and is a {type(value).__name__}")
    if value.ndim:
        raise TokzooError(f"{what} must be a scalar, and has the shape {list(value.shape)}")


def detached(state: Pass) -> Pass:
    """The pass as an adversary sees it: the same images and latents, no way back to the tokenizer."""
    assert state.quantized is not None
    assert state.decoded is not None
    feature_map = state.encoded.feature_map
    encoded = Encoded(state.encoded.latent.detach(), None if feature_map is None else feature_map.detach())
    quantized = Quantized(state.quantized.latent.detach(), state.quantized.codes)
    views = {
        name: View(Decoded(view.decoded.images.detach()), view.target.detach()) for name, view in state.views.items()
    }
    return Pass(
        state.tokenizer,
        state.images,
        state.labels,
        state.progress,
        encoded,
        quantized,
        views["main"].decoded,
        views,
    )
