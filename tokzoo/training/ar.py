"""Training an AR model on the codes of a frozen tokenizer."""

import torch

from tokzoo.assembly.build import build_ar
from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import CodeSpec
from tokzoo.data.batches import Batches
from tokzoo.data.codes import CodeSet
from tokzoo.data.seeding import derive_seed
from tokzoo.recipes.models import Probe
from tokzoo.training.task import Group, Step, Task


class ARTask(Task):
    """An AR model, initialised from the seed, and its batches: one view of each image, drawn anew each time."""

    def __init__(
        self,
        probe: Probe,
        spec: CodeSpec,
        classes: int | None,
        quantizer: Quantizer,
        codes: CodeSet,
        seed: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(derive_seed(seed, "ar"))
        self.module = build_ar(probe.ar, spec, classes, quantizer).to(device)
        # A model that reads latents holds the quantizer: it must stay what made the codes.
        self.frozen = (quantizer,)
        self.codes = codes.codes.to(device)
        self.labels = None if codes.labels is None else codes.labels.to(device)
        self.batches = Batches(len(codes), probe.budget.batch, derive_seed(seed, "ar batches"))

    def player(self) -> Group:
        """The whole model, but for a quantizer it may hold."""
        parameters = dict(self.module.named_parameters())
        return Group(parameters, frozenset(parameters))

    def losses(self, progress: Progress) -> Step:
        """The model's loss on the step's batch."""
        indices = self.batches.batch(progress.step)
        if self.codes.is_cuda:
            # Only a copy from pinned memory does not wait for the device.
            indices = indices.pin_memory().to(self.codes.device, non_blocking=True)
        views = torch.randint(len(self.codes), indices.shape, device=indices.device)
        labels = None if self.labels is None else self.labels[indices]
        loss: ARLoss = self.module(self.codes[views, indices].long(), labels, progress)
        terms = {} if loss.nats_per_token is None else {"nats_per_token": loss.nats_per_token.detach().mean()}
        return Step(loss.loss, terms, images=len(indices))
