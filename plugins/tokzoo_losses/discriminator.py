"""What the adversaries that tell reconstructions from images share: both players' losses, augmentation, LeCam."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from tokzoo import Adversary, Chain, Pass, View
from tokzoo.nn.adaptive_weight import adaptive_weight
from tokzoo.nn.diff_augment import diff_augment
from tokzoo.nn.gan_loss import discriminator_loss, generator_loss
from tokzoo.nn.lecam import LeCam
from tokzoo.nn.precision import at_least_float32
from tokzoo_losses.adversary_configs import DiscriminatorConfig


class Discriminator(Adversary):
    """An adversary that gives logits: high for images, low for reconstructions.

    The tokenizer has one term for each view, ``""`` for the plain reconstruction. The discriminator has the terms
    ``loss``, summed over views, and ``lecam`` if it is asked for, over the logits of all views together. Images and
    reconstructions go through it one after the other, so that each batch is normalised by its own statistics, in both
    players' steps.
    """

    def __init__(self, config: DiscriminatorConfig, chain: Chain) -> None:
        super().__init__(config, chain)
        self.lecam = LeCam(config.lecam.decay) if config.lecam else None

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Logits, of any shape, of images ``[B, C, H, W]`` in [-1, 1], which may have been augmented."""

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """What the tokenizer minimises, unweighted."""
        return {
            "" if name == "main" else name: generator_loss(self.config.loss, self._judged(view.decoded.images))
            for name, view in self._views(state).items()
        }

    def adapt(self, own: Tensor, others: Mapping[str, Tensor], state: Pass) -> Tensor | None:
        """VQGAN's adaptive weight (arXiv 2012.09841, equation 7), if it is asked for; ``weight`` counts besides.

        The others that reach the last layer are the terms on images: reconstruction and perceptual.
        """
        if not self.config.adaptive or not self.config.weight:
            return None
        reference = sum(others.values(), own.new_zeros(()))
        return adaptive_weight(reference, own / self.config.weight, state.tokenizer.decoder.last_layer())

    def adversary_terms(self, state: Pass) -> dict[str, Tensor]:
        """What the discriminator minimises, unweighted."""
        pairs = [(self._judged(view.target), self._judged(view.decoded.images)) for view in self._views(state).values()]
        losses = [discriminator_loss(self.config.loss, real, fake) for real, fake in pairs]
        terms = {"loss": torch.stack(losses).sum()}
        if self.lecam is not None:
            real, fake = (torch.cat([logits.flatten() for logits in kind]) for kind in zip(*pairs, strict=True))
            terms["lecam"] = self.lecam(real, fake)
        return terms

    def _judged(self, images: Tensor) -> Tensor:
        if self.config.augment is not None:
            images = diff_augment(images, self.config.augment)
        return at_least_float32(self.logits(images))

    def _views(self, state: Pass) -> dict[str, View]:
        chosen = self.config.views
        return {name: view for name, view in state.views.items() if chosen is None or name in chosen}
