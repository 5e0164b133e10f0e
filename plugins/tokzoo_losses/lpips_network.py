"""The network of LPIPS: VGG-16's convolutions (arXiv 1409.1556), and how much each channel counts."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from tokzoo.nn.precision import at_least_float32, without_autocast

TAPS = (3, 8, 15, 22, 29)
"""The layers that are compared: the last ReLU of each group of convolutions."""
CHANNELS = (64, 128, 256, 512, 512)
"""What each of them gives."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation, of images in [-1, 1]."""
EPSILON = 1e-10


class LpipsNetwork(nn.Module):
    """``Σ_l mean_hw Σ_c w_lc (f̂(x̂) - f̂(x))²`` (arXiv 1801.03924, equation 1), averaged over images.

    ``f̂`` are the activations at the last ReLU of each of VGG's five groups of convolutions, divided by their norm over
    the channels. VGG runs in the precision that is around, the rest in at least float32.

    Args:
        convolutions: VGG's weights by their names in torchvision's ``features``.
        weights: ``w``, five vectors.
    """

    def __init__(self, convolutions: dict[str, Tensor], weights: list[Tensor]) -> None:
        super().__init__()
        features = vgg_features()
        features.load_state_dict(convolutions, assign=True)
        cuts = [0, *(tap + 1 for tap in TAPS)]
        self.stages = nn.ModuleList(features[start:end] for start, end in pairwise(cuts))
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1))

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """A scalar for ``[B, 1 or 3, H, W]`` in [-1, 1]; gradients pass to ``images`` alone."""
        ours, theirs = self._scaled(images), self._scaled(target.detach())
        distances = []
        for number, stage in enumerate(self.stages):
            ours, theirs = stage(ours), stage(theirs)
            with without_autocast(images.device):
                apart = (directions(ours) - directions(theirs)).square().mean((0, 2, 3))
                distances.append(apart @ self.get_buffer(f"weight{number}"))
        return torch.stack(distances).sum()

    def _scaled(self, images: Tensor) -> Tensor:
        # One channel becomes three where it meets the three means.
        return (at_least_float32(images) - self.shift) / self.scale


def directions(features: Tensor) -> Tensor:
    """Each place's ``[B, C, h, w]`` divided by its norm over the channels; where all are 0, 0 with gradient 0."""
    features = at_least_float32(features)
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPSILON)


def vgg_features() -> nn.Sequential:
    """Torchvision's VGG-16 up to its last ReLU, without memory for weights."""
    from torchvision.models import vgg16  # takes a second to import

    with torch.device("meta"):
        return vgg16(init_weights=False).features[: TAPS[-1] + 1]
