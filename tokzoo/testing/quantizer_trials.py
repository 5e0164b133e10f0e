"""A quantizer under test: of which latents, and how it is trained and asked."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import QuantizerConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import Overwritten, Progress, Quantized, StepContext
from tokzoo.contracts.specs import LatentSpec
from tokzoo.nn.distributed import gather_batch
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import BUDGET, Trial, descend, pull


class QuantizerTrial(Trial):
    """A quantizer of one latent."""

    # Both ends of a long budget: the first steps may be a warm-up that quantizes nothing, the last are past any.
    steps = (0, 1, BUDGET - 2, BUDGET - 1)
    half = True

    def __init__(self, subject: Subject, latent: LatentSpec) -> None:
        super().__init__(subject, str(latent))
        self.latent = latent
        self.codes = config_of(subject).code_spec(latent)
        self.handed_on = config_of(subject).hands_on(latent)

    def build(self) -> Quantizer:
        """The quantizer."""
        return cast(Quantizer, self.subject.build(self.latent))

    def ready(self) -> Quantizer:
        """A new one in training mode, past its warm-up."""
        module = cast(Quantizer, self.begun()).train()
        module.before_step(StepContext(Progress(BUDGET - 1, BUDGET)))
        return module

    def given(self) -> Tensor:
        """A latent, of another scale in each image."""
        scale = torch.arange(1, BATCH + 1)[:, None, None] / BATCH
        return torch.randn(BATCH, self.latent.positions, self.latent.channels) * scale

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Latent and codes."""
        out: Quantized = module(given)
        return {"latent": out.latent} | ({} if out.codes is None else {"codes": out.codes})

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """Its losses as the config weighs them, and a decoder's pull at the latent."""
        return self._objective(module(given))

    def step(self, module: nn.Module, given: Tensor, progress: Progress) -> None:
        """One training step, as the loop takes it."""
        self.observed_step(cast(Quantizer, module), given, progress)

    def observed_step(
        self,
        module: Quantizer,
        given: Tensor,
        progress: Progress,
        update: Callable[[nn.Module, Tensor], None] = descend,
    ) -> Sequence[Overwritten]:
        """One training step with ``update`` as the optimizer's part; what the quantizer says it overwrote."""
        module.before_step(StepContext(progress))
        out: Quantized = module(given.requires_grad_())
        update(module, self._objective(out))
        codes = None if out.codes is None else gather_batch(out.codes)
        return module.after_step(StepContext(progress, gather_batch(given.detach()), codes))

    def _objective(self, out: Quantized) -> Tensor:
        asked = pull({"latent": out.latent})
        return sum((self.subject.config.weight_of(name) * loss for name, loss in out.losses.items()), asked)


def config_of(subject: Subject) -> QuantizerConfig:
    """The quantizer's config."""
    assert isinstance(subject.config, QuantizerConfig)
    return subject.config


def trials(subject: Subject) -> Iterator[QuantizerTrial]:
    """One for each latent of the subject that it can quantize, with the channels it wants."""
    config, refusals = config_of(subject), []
    for spec in subject.latents:
        wanted = config.wants(spec.layout)
        try:
            trial = QuantizerTrial(subject, LatentSpec(spec.layout, spec.shape, wanted or spec.channels))
        except Refusal as refusal:
            refusals.append(str(refusal))
        else:
            yield trial
    every = len(refusals) == len(subject.latents)
    assert not every, f"code_spec refuses every latent it was tried with: {'; '.join(dict.fromkeys(refusals))}"
