"""What components return and what regularizers see: one type per interface.

Shapes: B images, N latent positions, c channels, M code positions, L levels, T tokens, D width.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tokzoo.contracts.configs import first_step
from tokzoo.contracts.specs import Tap


@dataclass(slots=True)
class Progress:
    """Where training is: ``step`` counts from 0 to ``total`` - 1."""

    step: int
    total: int

    def steps(self, when: int | float) -> int:
        """A gate in steps: an int is one already, a float is a fraction of the budget."""
        return first_step(when, self.total)

    def is_open(self, start: int | float, stop: int | float | None) -> bool:
        """Whether a gate is open now: ``start <= step < stop``."""
        return self.steps(start) <= self.step and (stop is None or self.step < self.steps(stop))


@dataclass(slots=True)
class Encoded:
    """An encoder's output.

    Attributes:
        latent: ``[B, N, c]``.
        feature_map: ``[B, C', h, w]``, if it has one.
        hidden: hidden states ``{tap: [B, T, D]}`` of the taps it was built with.
    """

    latent: Tensor
    feature_map: Tensor | None = None
    hidden: dict[Tap, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class Quantized:
    """A quantizer's output.

    Attributes:
        latent: ``[B, N, c]``, what the decoder reads; gradients pass to the encoder through it.
        codes: int64 ``[B, M]`` or ``[B, M, L]``; None from a continuous quantizer, or while training unquantized.
        losses: unweighted scalars by name; the config's ``weight_of`` weighs them.
        statistics: detached scalars by name, logged beside the losses and part of none.
    """

    latent: Tensor
    codes: Tensor | None
    losses: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class Decoded:
    """A decoder's output: images ``[B, C, H, W]`` (not clamped), hidden states ``{tap: [B, T, D]}``, own losses."""

    images: Tensor
    hidden: dict[Tap, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """A reconstruction and what it should look like."""

    decoded: Decoded
    target: Tensor


@dataclass(slots=True)
class Pass:
    """One training pass through a tokenizer, as regularizers see it. Filled from left to right.

    ``views["main"]`` is the plain reconstruction; regularizers may add others. ``tokenizer`` is for terms that need
    a component itself (its quantizer's assignment, a second decoding). What several regularizers want to know of the
    pass, such as a teacher's features of the images, is computed once and kept in ``memo``, under a key that says all
    it depends on (the teacher itself).
    """

    tokenizer: nn.Module
    images: Tensor
    labels: Tensor | None
    progress: Progress
    encoded: Encoded
    quantized: Quantized | None = None
    decoded: Decoded | None = None
    views: dict[str, View] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Assignment:
    """One factor of how near latents are to codes: ``logits[m, k] = -scale · ‖queries[m] - codes[k]‖² + bias[k]``.

    Where codes are combinations (levels, groups, bits), a quantizer gives one factor for each of their parts. Dot
    products are exact too, up to what no softmax sees: ``q·e`` has ``scale = 1/2`` and ``bias = ‖e‖² / 2``.

    Never an M×K tensor: whoever needs the logits makes them in chunks.

    Attributes:
        queries: ``[M, d]``.
        codes: ``[K, d]``.
        scale: > 0.
        bias: ``[K]``, or None.
    """

    queries: Tensor
    codes: Tensor
    scale: float = 1.0
    bias: Tensor | None = None


@dataclass(slots=True)
class ARLoss:
    """An AR model's loss on a batch of codes.

    Attributes:
        loss: the scalar to minimise (mean over the batch).
        nats_per_token: the negative log-likelihood of each image divided by its number of tokens, ``[B]``; None where
            the model has no likelihood.
        exact: False where ``nats_per_token`` is a bound or an estimate: such numbers are not ranked with exact ones.
    """

    loss: Tensor
    nats_per_token: Tensor | None
    exact: bool


@dataclass(slots=True)
class StepContext:
    """What a quantizer is told around a training step, uncompiled.

    ``latent`` is what the encoder gave in this step, gathered over ranks, detached, ``[B, N, c]``; None before it ran.
    """

    progress: Progress
    latent: Tensor | None = None
    codes: Tensor | None = None


@dataclass(slots=True)
class Overwritten:
    """A parameter whose rows were replaced outside the optimizer: their moments and weight average start anew.

    ``rows`` is a boolean mask over the first axis (no host sync is needed to make one).
    """

    parameter: Tensor
    rows: Tensor
