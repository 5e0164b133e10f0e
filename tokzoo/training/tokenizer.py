"""Training a tokenizer: its objective, on augmented batches of a dataset."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Losses, Objective, detached
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.interfaces import Adversary, Split, Teacher
from tokzoo.contracts.outputs import Overwritten, Progress, StepContext
from tokzoo.contracts.specs import Chain
from tokzoo.data.augment import augment
from tokzoo.data.batches import Batches
from tokzoo.data.config import Augmentation
from tokzoo.data.feed import DeviceFeed, training_batches
from tokzoo.data.seeding import derive_seed
from tokzoo.nn.distributed import gather_batch
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.optimization import Budget
from tokzoo.training.initial import take_over
from tokzoo.training.parts import Parts
from tokzoo.training.task import Batch, Group, Step, Task


class TokenizerTask(Task):
    """A recipe's objective, initialised from the seed, and its batches."""

    purpose = "tokenizer"

    def __init__(
        self,
        recipe: Recipe,
        chain: Chain,
        split: Split,
        augmentation: Augmentation,
        budget: Budget,
        seed: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(derive_seed(seed, "tokenizer"))
        self.tokenizer = Tokenizer(recipe, chain)
        self.objective = Objective(self.tokenizer, build_regularizers(recipe, chain))
        self.objective.start()
        if recipe.init is not None:
            take_over(self.objective, recipe.init)
        self.objective.to(device)
        self.parts = Parts(self.objective, recipe.train.tokenizer.parts)
        self.module = self.objective
        self.frozen = [part for part in self.objective.modules() if isinstance(part, Teacher)]
        # A codebook that is averaged rather than trained is still learned.
        self.kept = frozenset(f"tokenizer.quantizer.{name}" for name, _ in self.tokenizer.quantizer.named_parameters())
        self.augmentation = augmentation
        feed = DeviceFeed(split, device)
        batches = Batches(len(split), budget.batch, derive_seed(seed, "tokenizer batches"))
        self.ahead = training_batches(feed, batches, augmentation, chain.image.size[0], budget.steps)
        self._adversaries = {role: part for role, part in self.objective.by_role.items() if isinstance(part, Adversary)}

    def group(self) -> Group:
        """Everything but the adversaries; the average follows the tokenizer."""
        theirs = {id(p) for part in self._adversaries.values() for p in part.adversary_parameters()}
        mine = {name: p for name, p in self.module.named_parameters() if id(p) not in theirs}
        averaged = frozenset(name for name in mine if name.startswith("tokenizer."))
        return Group(mine, averaged, self.parts.of_parameters(mine))

    def adversaries(self) -> dict[str, Group]:
        """Each adversary's own parameters."""
        groups = {}
        for role, part in self._adversaries.items():
            if self.parts.rests(f"regularizers.{role}"):
                continue
            ids = {id(p) for p in part.adversary_parameters()}
            own = {name: p for name, p in self.module.named_parameters() if id(p) in ids}
            groups[role] = Group(own, settings=self.parts.of_parameters(own))
        return groups

    def before_step(self, progress: Progress) -> None:
        """Freeze and thaw parts, and tell the quantizer."""
        self.parts.move_to(progress)
        self.tokenizer.quantizer.before_step(StepContext(progress))

    def batch(self, progress: Progress) -> Batch:
        """The step's images, augmented, and their labels."""
        images, labels = self.ahead.batch(progress.step)
        return augment(images, self.augmentation), labels

    def losses(self, batch: Batch, progress: Progress) -> Step:
        """The tokenizer's losses on images."""
        losses: Losses = self.objective(*batch, progress)
        return Step(losses.total, losses.logged, losses.state)

    def adversary_losses(self, role: str, step: Step, progress: Progress) -> Step | None:
        """The adversary's losses on the same reconstructions, once its gate is open."""
        if role not in self.objective.active(progress) or not self.parts.is_trained(f"regularizers.{role}", progress):
            return None
        losses: Losses = self.objective(step.state.images, None, progress, role, detached(step.state))
        return Step(losses.total, losses.terms)

    def after_step(self, steps: Sequence[Step], progress: Progress) -> Sequence[Overwritten]:
        """Show the quantizer the step's latents, unless it is frozen; it may initialise or revive codes."""
        if not self.parts.is_trained("quantizer", progress):
            return ()
        latents = [step.state.encoded.latent.detach() for step in steps]
        codes = [step.state.quantized.codes for step in steps]
        context = StepContext(
            progress, gather_batch(_joined(latents)), None if codes[0] is None else gather_batch(_joined(codes))
        )
        return self.tokenizer.quantizer.after_step(context)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
