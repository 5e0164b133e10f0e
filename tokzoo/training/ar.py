"""Training an AR model on the codes of a frozen tokenizer."""

from abc import abstractmethod

import torch
from torch import Tensor

from tokzoo.assembly.answers import expected
from tokzoo.assembly.build import build_ar, start
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.interfaces import Quantizer, Split
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import Tokens
from tokzoo.data.augment import augment
from tokzoo.data.batches import Batches
from tokzoo.data.codes import CodeSet
from tokzoo.data.config import Augmentation
from tokzoo.data.feed import DeviceFeed, training_batches
from tokzoo.data.seeding import derive_seed
from tokzoo.recipes.models import Probe
from tokzoo.training.task import Batch, Group, Step, Task


class CodesTask(Task):
    """An AR model, initialised from the seed, that learns a batch of codes a step.

    Args:
        tokens: what it learns.
        quantizer: the one that made the codes.
        frozen: holds that quantizer, or is it.
    """

    purpose = "ar"

    def __init__(
        self,
        probe: Probe,
        tokens: Tokens,
        quantizer: Quantizer,
        frozen: torch.nn.Module,
        seed: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(derive_seed(seed, "ar"))
        self.module = build_ar(probe.ar, tokens, quantizer)
        start(self.module)
        self.module.to(device)
        # A model that reads latents holds the quantizer: it must stay what made the codes.
        self.frozen = (frozen,)

    @abstractmethod
    def codes_of(self, step: int) -> tuple[Tensor, Tensor | None]:
        """The codes int64 and labels of a step, on the device."""

    def group(self) -> Group:
        """The whole model."""
        parameters = dict(self.module.named_parameters())
        return Group(parameters, frozenset(parameters))

    def batch(self, progress: Progress) -> Batch:
        """The step's codes and labels."""
        return self.codes_of(progress.step)

    def losses(self, batch: Batch, progress: Progress) -> Step:
        """The model's loss on codes."""
        loss = expected(self.module(*batch, progress), ARLoss, type(self.module).__name__, "forward")
        terms = {} if loss.nats_per_token is None else {"nats_per_token": loss.nats_per_token.detach().mean()}
        return Step(loss.loss, terms)


class ARTask(CodesTask):
    """On codes extracted before: one view of each image, drawn anew each time."""

    def __init__(
        self,
        probe: Probe,
        tokens: Tokens,
        quantizer: Quantizer,
        codes: CodeSet,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(probe, tokens, quantizer, quantizer, seed, device)
        self.codes = codes.codes.to(device)
        self.labels = None if codes.labels is None else codes.labels.to(device)
        self.batches = Batches(len(codes), probe.batch, derive_seed(seed, "ar batches"))

    def codes_of(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Rows of the code set."""
        indices = self.batches.batch(step)
        if self.codes.is_cuda:
            # Only a copy from pinned memory does not wait for the device.
            indices = indices.pin_memory().to(self.codes.device, non_blocking=True)
        views = torch.randint(len(self.codes), indices.shape, device=indices.device)
        labels = None if self.labels is None else self.labels[indices]
        return self.codes[views, indices].long(), labels


class LiveARTask(CodesTask):
    """On images augmented anew in every step and encoded by the frozen tokenizer, which must be in eval mode."""

    def __init__(
        self,
        probe: Probe,
        tokenizer: Tokenizer,
        split: Split,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
    ) -> None:
        chain = tokenizer.chain
        assert chain.codes is not None
        super().__init__(probe, chain.tokens, tokenizer.quantizer, tokenizer, seed, device)
        self.tokenizer = tokenizer
        self.augmentation = augmentation
        feed = DeviceFeed(split, device)
        batches = Batches(len(split), probe.batch, derive_seed(seed, "ar batches"))
        self.ahead = training_batches(feed, batches, augmentation, chain.image.size[0], probe.steps)

    def codes_of(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Codes made as they are for judging: in full precision, whatever the AR model trains in."""
        images, labels = self.ahead.batch(step)
        with torch.autocast(images.device.type, enabled=False):
            return self.tokenizer.codes_of(augment(images, self.augmentation)), labels
