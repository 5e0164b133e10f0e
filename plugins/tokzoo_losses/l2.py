"""Mean squared error between reconstruction and image."""

import torch.nn.functional as F
from torch import Tensor

from tokzoo import ImageTerm


class L2(ImageTerm):
    """``mean (x̂ - x)²`` over all elements, in float32."""

    def distance(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar for reconstructions and targets ``[B, C, H, W]``."""
        return F.mse_loss(images.float(), target.float())
