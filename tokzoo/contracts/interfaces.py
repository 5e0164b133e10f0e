"""The interfaces every component implements. A component is built from its config and the shapes it was promised."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.outputs import (
    ARLoss,
    Decoded,
    Encoded,
    Overwritten,
    Pass,
    Progress,
    Quantized,
    StepContext,
    View,
)
from tokzoo.contracts.specs import Chain, CodeSpec, ImageSpec, LatentSpec, Tap


class Encoder(nn.Module, ABC):
    """Images to a latent."""

    def __init__(self, config: Any, image: ImageSpec, latent: LatentSpec) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, images: Tensor) -> Encoded:
        """Encode ``[B, C, H, W]`` in [-1, 1] to a latent ``[B, N, c]`` as the config's ``latent_spec`` promised."""


class Quantizer(nn.Module, ABC):
    """A latent to codes and back.

    Its state is parameters and buffers. What only training needs (usage counters, reservoirs) goes into buffers with
    ``persistent=False``: checkpoints keep them, the saved tokenizer does not. In eval mode ``decode(forward(z).codes)``
    equals ``forward(z).latent``.
    """

    def __init__(self, config: Any, latent: LatentSpec) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, latent: Tensor) -> Quantized:
        """Quantize ``[B, N, c]``."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """The quantized latent ``[B, N, c]`` of codes ``[B, M]`` or ``[B, M, L]``."""

    def before_step(self, context: StepContext) -> None:
        """Called before each training step, outside compiled code; ``context.latent`` is None."""

    def after_step(self, context: StepContext) -> Sequence[Overwritten]:
        """Called after each optimizer step, outside compiled code, with the step's latents gathered over ranks.

        Returns the parameters whose rows it overwrote.
        """
        return ()


class Decoder(nn.Module, ABC):
    """A quantized latent to images. Keeps the hidden states of ``taps`` and no others."""

    def __init__(self, config: Any, latent: LatentSpec, image: ImageSpec, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, latent: Tensor, target: Tensor | None = None) -> Decoded:
        """Decode ``[B, N, c]``; ``target`` (training only) is for decoders that learn by their own loss."""

    def decode(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images of a latent; ``generator`` seeds a generative decoder."""
        return self.forward(latent).images


class Regularizer(nn.Module):
    """One term of the objective: implements any of ``transform``, ``views`` and ``terms``."""

    def __init__(self, config: Any, chain: Chain) -> None:
        super().__init__()
        self.config = config

    def transform(self, latent: Tensor, state: Pass) -> Tensor:
        """Change the quantized latent before it is decoded (nested dropout)."""
        return latent

    def views(self, state: Pass) -> dict[str, View]:
        """Further reconstructions by name, beside ``"main"``."""
        return {}

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """Unweighted scalars by name; a term named "" is logged under the regularizer's role alone."""
        return {}


class ImageTerm(Regularizer):
    """A regularizer that compares images, on every view its config names (default all)."""

    @abstractmethod
    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar for reconstructions and targets ``[B, C, H, W]``."""

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """The distance of each view; that of ``"main"`` under the role's own name."""
        chosen = state.views if self.config.views is None else self.config.views
        return {
            "" if name == "main" else name: self.compare(state.views[name], state)
            for name in chosen
            if name in state.views
        }

    def compare(self, view: View, state: Pass) -> Tensor:
        """The distance of one view. Override it where the pass knows something of the target already (``memo``)."""
        return self.distance(view.decoded.images, view.target)


class Adversary(Regularizer):
    """A regularizer with a player of its own, trained in alternation with the tokenizer."""

    @abstractmethod
    def adversary_parameters(self) -> Iterable[nn.Parameter]:
        """What its own optimizer trains; the tokenizer's optimizer leaves these alone."""

    @abstractmethod
    def adversary_terms(self, state: Pass) -> dict[str, Tensor]:
        """Its own loss terms, on views whose images are detached."""


class ARModel(nn.Module, ABC):
    """A model of codes. ``quantizer`` (frozen) is for models that read latents (VAR)."""

    def __init__(self, config: Any, codes: CodeSpec, classes: int | None, quantizer: Quantizer | None = None) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many layers :meth:`features` can read."""

    @abstractmethod
    def forward(self, codes: Tensor, labels: Tensor | None, progress: Progress | None = None) -> ARLoss:
        """The loss of codes ``[B, M]`` or ``[B, M, L]`` given labels int64 ``[B]``.

        In training mode, dropout and label dropout draw from torch's global generator, seeded by the loop each step.
        """

    @abstractmethod
    def sample(self, labels: Tensor | None, sampler: Any, seeds: Tensor) -> Tensor:
        """Codes of ``len(seeds)`` images; image i depends on ``labels[i]`` and ``seeds[i]`` (int64) alone.

        So any sample can be made again by itself, whatever the batch size.
        """

    @abstractmethod
    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        """Hidden states ``[B, T, D]`` after block ``layer`` (1-based); labels None: the null class."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Squares to cut out of pictures, one each, after a picture is resized (see ``data.cutting`` for how).

    Attributes:
        size: height and width of the squares, in pixels.
        short: int64 ``[B]``, at least ``size``: the pictures' short sides once resized.
        at: float64 ``[B, 2]`` in [0, 1]: how far down and right in the room that is left. 0 is its first pixel, 1 its
            last, 1/2 its middle; of two middles the first.
    """

    size: int
    short: Tensor
    at: Tensor


class Split(ABC):
    """Images of one split, by position."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images uint8 ``[B, C, H, W]`` and labels int64 ``[B]`` (None without labels) at ``indices``, on the CPU."""

    def crop(self, indices: Tensor, crops: Crops) -> tuple[Tensor, Tensor | None]:
        """As :meth:`batch`, cut as ``crops`` says: images ``[B, C, size, size]``. It may be called from any thread.

        Only of datasets whose config has ``"crops"`` among what it ``provides``.
        """
        raise TokzooError(f"{type(self).__name__} holds images of one size and cuts no crops")


class Dataset(ABC):
    """Two splits: ``train`` to learn from, ``val`` to judge by."""

    train: Split
    val: Split

    def __init__(self, config: Any) -> None:
        self.config = config


class Teacher(nn.Module, ABC):
    """A frozen network."""

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features ``[B, T, D]`` of images in [-1, 1]; it normalises and resizes by itself."""


@dataclass(slots=True)
class ReconstructionBatch:
    """What a reconstruction metric sees: images in [-1, 1], reconstructions clamped to it, codes if there are any."""

    images: Tensor
    reconstructions: Tensor
    codes: Tensor | None
    labels: Tensor | None


@dataclass(slots=True)
class LikelihoodBatch:
    """What a ``likelihood`` metric sees: the model's loss on a batch of held-out codes."""

    loss: ARLoss
    codes: CodeSpec


@dataclass(slots=True)
class GenerationBatch:
    """What a ``generation`` metric sees: images in [-1, 1] decoded from sampled codes, and the classes asked for."""

    images: Tensor
    labels: Tensor | None


@dataclass(slots=True)
class RepresentationProbe:
    """What a ``representation`` metric sees, once: the AR model and the codes of both splits.

    Codes are int64 ``[N, M]`` (or ``[N, M, L]``, the images as they are, not augmented), labels int64 ``[N]``; all on
    the CPU. ``batch`` is how many to run through the model at a time.
    """

    model: ARModel
    train_codes: Tensor
    train_labels: Tensor
    val_codes: Tensor
    val_labels: Tensor
    classes: int
    batch: int
    device: torch.device


@dataclass(slots=True)
class EfficiencyProbe:
    """What an ``efficiency`` metric sees: the trained modules and a batch of real images."""

    tokenizer: nn.Module
    ar: ARModel | None
    images: Tensor


class Metric(ABC):
    """Numbers measured in one stage: updated batch by batch, computed once.

    ``update`` is given the batch type of the config's stage: :class:`ReconstructionBatch`, :class:`LikelihoodBatch`,
    :class:`GenerationBatch` or, once, :class:`RepresentationProbe` or :class:`EfficiencyProbe`. A metric that needs a
    reference set finds it itself and names it in its protocol.
    """

    def __init__(self, config: Any, chain: Chain) -> None:
        self.config = config
        self.chain = chain

    @abstractmethod
    def update(self, batch: Any) -> None:
        """Take in one batch, without a host sync."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers by metric id; one that does not apply here is left out."""


INTERFACES: dict[str, type] = {
    "encoder": Encoder,
    "quantizer": Quantizer,
    "decoder": Decoder,
    "regularizer": Regularizer,
    "ar": ARModel,
    "dataset": Dataset,
    "teacher": Teacher,
    "metric": Metric,
}
