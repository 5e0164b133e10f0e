"""Distance between reconstruction and image in the features of a frozen teacher: a perceptual term.

Perceptual losses compare images by a network's activations (arXiv 1603.08155); each token's features are first divided
by their norm over the channels, as LPIPS does (arXiv 1801.03924, equation 1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokzoo import ImageTerm, Pass, View
from tokzoo.nn.precision import at_least_float32
from tokzoo_losses.frozen_teacher import WithTeacher


class FeatureDistance(WithTeacher, ImageTerm):
    """``mean (f(x̂)/‖f(x̂)‖ - f(x)/‖f(x)‖)²`` over images, tokens and the D channels; in ``[0, 4 / D]``.

    It equals ``2 (1 - cos) / D`` of the two features, averaged over tokens. Gradients pass through the teacher to the
    reconstruction, never to the target.
    """

    def compare(self, view: View, state: Pass) -> Tensor:
        """The distance of a view; what the teacher says of the images themselves is asked once a pass."""
        if view.target is state.images:
            return self._between(view.decoded.images, self.features(state))
        return self.distance(view.decoded.images, view.target)

    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar for reconstructions and targets ``[B, C, H, W]``."""
        with torch.no_grad():
            wanted = self.teacher(target)
        return self._between(images, wanted)

    def _between(self, images: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(_directions(self.teacher(images)), _directions(wanted))


def _directions(features: Tensor) -> Tensor:
    return F.normalize(at_least_float32(features), dim=-1)
