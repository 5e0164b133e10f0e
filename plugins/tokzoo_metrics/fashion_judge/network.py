"""The judge: a residual convolutional network (arXiv 1512.03385) that tells the ten classes of Fashion-MNIST apart.

It only judges: no tokenizer and no teacher learns from it, or a tokenizer could learn to please it.
"""

import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

import tokzoo
from tokzoo_metrics.fashion_judge.facts import WEIGHTS, verified

WIDTHS = (32, 64, 96)
CLASSES = 10
FEATURES = WIDTHS[-1]
"""D, the width of the last layer before the classes."""


class Unit(nn.Sequential):
    """Convolution and BatchNorm."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outer)
        )


class Residual(nn.Module):
    """``relu(x + unit(relu(unit(x))))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Unit(width, width, 3, 1), Unit(width, width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width, h, w]`` to the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Judge(nn.Module):
    """Images ``[B, 1, 32, 32]`` in [-1, 1] to features ``[B, D]`` and logits ``[B, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem, self.middle, self.last = Unit(1, first, 5, 2), Unit(first, second, 3, 2), Unit(second, third, 3, 2)
        self.middle_block, self.last_block = Residual(second), Residual(third)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of the last 4×4 feature map, which ``head`` reads, and the logits."""
        x = F.relu(self.middle(F.relu(self.stem(images))))
        x = F.relu(self.last(self.middle_block(x)))
        features = self.last_block(x).mean(dim=(2, 3))
        return features, self.head(features)


def load_judge() -> Judge:
    """The judge with the weights that come along, frozen, in float32 and eval mode.

    Raises:
        tokzoo.TokzooError: the weights are not those whose hash stands beside them.
    """
    judge = Judge()
    # Batch counters are of no use to a frozen network, and are not stored.
    missing, unexpected = judge.load_state_dict(load(verified(WEIGHTS)), strict=False)
    wrong = [*unexpected, *(name for name in missing if not name.endswith("num_batches_tracked"))]
    if wrong:
        raise tokzoo.TokzooError(f"the judge's weights do not fit its network: {', '.join(wrong)}")
    return judge.eval().requires_grad_(False)
