"""The interfaces every component implements. A component is built from its config and the shapes it was promised."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.executors import Executor
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
from tokzoo.contracts.specs import Chain, CodeSpec, ImageSpec, LatentSpec, Tap, Tokens


class ComponentModule(nn.Module):
    """What every component that is a torch module has in common."""

    # Frozen modules that follow every move. In a tuple, where torch does not register them: they are neither saved with
    # the component nor among its parameters.
    _held: tuple[nn.Module, ...] = ()

    def start(self) -> None:
        """Called once in every process that trains, when all parts are built and before a checkpoint is restored.

        Pretrained weights are read here and nowhere else, so that a saved tokenizer loads without them; building a
        component reads no file but its own package's. What is drawn at random here moves no other component's start.

        Raises:
            TokzooError: a file of weights is missing or holds something else; with its source and the field to set.
        """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for held in self._held if recurse else ():
            held._apply(fn)
        return self


class Encoder(ComponentModule, ABC):
    """Images to a latent. Keeps the hidden states of ``taps`` and no others."""

    def __init__(self, config: Any, image: ImageSpec, latent: LatentSpec, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, images: Tensor) -> Encoded:
        """Encode ``[B, C, H, W]`` in [-1, 1] to a latent ``[B, N, c]`` as the config's ``latent_spec`` promised."""


class Quantizer(ComponentModule, ABC):
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


class Decoder(ComponentModule, ABC):
    """A quantized latent to images. Keeps the hidden states of ``taps`` and no others."""

    def __init__(self, config: Any, latent: LatentSpec, image: ImageSpec, taps: tuple[Tap, ...] = ()) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, latent: Tensor, target: Tensor | None = None) -> Decoded:
        """Decode ``[B, N, c]``; ``target``, the images it should be, is for decoders that learn by their own loss.

        Whoever decodes in training gives it. A decoder with its own :meth:`decode` may be unable to do without.
        """

    def decode(self, latent: Tensor, seeds: Tensor, sampler: Any = None) -> Tensor:
        """Images of a latent ``[B, N, c]``; image i depends on ``latent[i]`` and ``seeds[i]`` (int64) alone.

        Args:
            latent: quantized. Where the decoder provides ``"prefix_decoding"``, perhaps its first positions alone.
            seeds: ``[B]``; what a decoder that draws nothing does not look at.
            sampler: of the config's ``sampler`` type; None: its defaults.
        """
        return self.forward(latent).images

    def share(self, encoder: Encoder) -> None:
        """Called once, when both are built: a decoder that shares weights with its encoder takes them here."""


class Regularizer(ComponentModule):
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

    def adapt(self, own: Tensor, others: Mapping[str, Tensor], state: Pass) -> Tensor | None:
        """A factor for all of its terms that follows from gradients, as VQGAN's adaptive weight does; None: none.

        Args:
            own: the weighted sum of its terms in this pass, differentiable. A factor in inverse proportion to it
                cancels their weight, unless it is divided out first.
            others: the same of each that has no such method, by role (and of ``"quantizer"`` and ``"decoder"``).
            state: the pass.

        Returns:
            A detached scalar; ``tokzoo.nn.adaptive_weight`` computes the usual one.
        """
        return None


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
    """A regularizer with parameters and an optimizer of its own, trained in alternation with the tokenizer."""

    @abstractmethod
    def adversary_parameters(self) -> Iterable[nn.Parameter]:
        """What its own optimizer trains; the tokenizer's optimizer leaves these alone."""

    @abstractmethod
    def adversary_terms(self, state: Pass) -> dict[str, Tensor]:
        """Its own loss terms, on views whose images are detached."""


class ARModel(ComponentModule, ABC):
    """A model of the tokens of a frozen tokenizer."""

    def __init__(self, config: Any, tokens: Tokens, quantizer: Quantizer | None = None) -> None:
        super().__init__()
        self.config = config
        self._held: tuple[Quantizer, ...] = () if quantizer is None else (quantizer,)

    @property
    def quantizer(self) -> Quantizer:
        """The frozen quantizer that made the codes, for a model whose config ``requires`` something of the tokenizer.

        Raises:
            TokzooError: it was built without one.
        """
        if not self._held:
            raise TokzooError(f"{type(self).__name__} is given the quantizer only if its config's requires names a use")
        return self._held[0]

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many layers :meth:`features` can read."""

    @abstractmethod
    def forward(self, codes: Tensor, labels: Tensor | None, progress: Progress | None = None) -> ARLoss:
        """The loss of codes ``[B, M]`` or ``[B, M, L]`` given labels int64 ``[B]``.

        In training mode, dropout and label dropout draw from torch's global generator, seeded by the loop each step.
        """

    def likelihood(self, codes: Tensor, labels: Tensor | None, seeds: Tensor) -> ARLoss:
        """The loss of held-out codes, in eval mode; image i's depends on its codes, label and ``seeds[i]`` alone.

        For a model whose loss is drawn at random (the masks of MaskGIT), ``seeds`` int64 ``[B]`` decides the draws.
        """
        loss: ARLoss = self(codes, labels)
        return loss

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


class Teacher(ComponentModule, ABC):
    """A frozen network; its weights are read in :meth:`start`."""

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__()
        self.config = config

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever becomes of the part it is in."""
        return super().train(False)

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features ``[B, T, D]`` of images in [-1, 1]; it normalises and resizes by itself."""


@dataclass(slots=True)
class ReconstructionBatch:
    """What a reconstruction metric sees: images in [-1, 1], reconstructions clamped to it, codes if there are any.

    Attributes:
        from_prefix: where the tokenizer's tokens are ordered, its reconstructions from the longest prefix that can be
            decoded of at most so many tokens; None elsewhere.
    """

    images: Tensor
    reconstructions: Tensor
    codes: Tensor | None
    labels: Tensor | None
    from_prefix: Callable[[int], Tensor] | None = None


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
    "executor": Executor,
}
