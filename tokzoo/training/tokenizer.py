"""Training a tokenizer: its objective, on augmented batches of a dataset."""

from collections.abc import Sequence

import torch

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
from tokzoo.training.task import Group, Step, Task


class TokenizerTask(Task):
    """A recipe's objective, initialised from the seed, and its batches."""

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
        self.objective = Objective(self.tokenizer, build_regularizers(recipe, chain)).to(device)
        self.module = self.objective
        self.frozen = [part for part in self.objective.modules() if isinstance(part, Teacher)]
        # A codebook that is averaged rather than trained is still learned.
        self.kept = frozenset(f"tokenizer.quantizer.{name}" for name, _ in self.tokenizer.quantizer.named_parameters())
        self.augmentation = augmentation
        feed = DeviceFeed(split, device)
        batches = Batches(len(split), budget.batch, derive_seed(seed, "tokenizer batches"))
        self.ahead = training_batches(feed, batches, augmentation, chain.image.size[0], budget.steps)
        self._players = {role: part for role, part in self.objective.players.items() if isinstance(part, Adversary)}

    def player(self) -> Group:
        """Everything but the adversaries; the average follows the tokenizer."""
        theirs = {id(p) for part in self._players.values() for p in part.adversary_parameters()}
        mine = {name: p for name, p in self.module.named_parameters() if id(p) not in theirs}
        return Group(mine, frozenset(name for name in mine if name.startswith("tokenizer.")))

    def adversaries(self) -> dict[str, Group]:
        """Each adversary's own parameters."""
        groups = {}
        for role, part in self._players.items():
            own = {id(p) for p in part.adversary_parameters()}
            groups[role] = Group({name: p for name, p in self.module.named_parameters() if id(p) in own})
        return groups

    def before_step(self, progress: Progress) -> None:
        """Tell the quantizer."""
        self.tokenizer.quantizer.before_step(StepContext(progress))

    def losses(self, progress: Progress) -> Step:
        """The tokenizer's losses on the step's batch."""
        images, labels = self.ahead.batch(progress.step)
        losses: Losses = self.objective(augment(images, self.augmentation), labels, progress)
        return Step(losses.total, losses.logged, losses.state, len(images))

    def adversary_losses(self, role: str, step: Step, progress: Progress) -> Step | None:
        """The adversary's losses on the same reconstructions, once its gate is open."""
        if role not in self.objective.active(progress):
            return None
        losses: Losses = self.objective(step.state.images, None, progress, role, detached(step.state))
        return Step(losses.total, losses.terms)

    def after_step(self, step: Step, progress: Progress) -> Sequence[Overwritten]:
        """Show the quantizer the step's latents; it may initialise or revive codes."""
        latent, codes = step.state.encoded.latent.detach(), step.state.quantized.codes
        context = StepContext(progress, gather_batch(latent), None if codes is None else gather_batch(codes))
        return self.tokenizer.quantizer.after_step(context)
