"""The network of the teacher: a few convolutions that keep a 4×4 grid, one feature vector for each 8×8 pixels."""

import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo_teachers.configs import FASHION_DIM

WIDTH = 64


class Layer(nn.Module):
    """``gelu(norm(convolution(x)))``."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inner, h, w]`` to ``[B, outer, h / stride, w / stride]``."""
        return F.gelu(self.norm(self.convolution(x)))


class Network(nn.Module):
    """Images ``[B, 1, 32, 32]`` in [-1, 1] to a map ``[B, D, 4, 4]``.

    The last norm has no scale of its own: over random views of the training images every channel has mean 0 and
    variance 1. With a large mean in common, any two features would be alike by cosine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = Layer(1, WIDTH, 7, 4)
        self.fine = Layer(WIDTH, WIDTH, 3, 1)
        self.coarse = Layer(WIDTH, FASHION_DIM, 3, 2)
        self.branch = nn.Sequential(Layer(FASHION_DIM, FASHION_DIM, 3, 1), Layer(FASHION_DIM, FASHION_DIM, 3, 1))
        self.norm = nn.BatchNorm2d(FASHION_DIM, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """The map of features."""
        x = self.coarse(self.fine(self.patches(images)))
        return self.norm(x + self.branch(x))
