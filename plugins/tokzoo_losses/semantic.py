"""Alignment of the decoder's hidden states with the features of a frozen teacher.

REPA (arXiv 2410.06940, section 3) introduced representation alignment for diffusion transformers; GigaTok (arXiv
2504.08736, section 3.2) applies it to a tokenizer's decoder.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo import Chain, Pass
from tokzoo.nn.precision import at_least_float32
from tokzoo.nn.tokens import to_map, to_tokens
from tokzoo_losses.configs import ProjectionConfig, SemanticConfig
from tokzoo_losses.frozen_teacher import WithTeacher

ACTIVATIONS = {"silu": nn.SiLU, "gelu": nn.GELU}


class SemanticAlignment(WithTeacher):
    """``-cos(projection(hidden), teacher(image))``, averaged over images and tokens; in ``[-1, 1]``.

    Where the teacher's grid is not the tap's, its features are interpolated to the tap's grid: bilinear, corners not
    aligned, without antialiasing. The projection is trained, and is of no use to the trained tokenizer.
    """

    def __init__(self, config: SemanticConfig, chain: Chain) -> None:
        super().__init__(config, chain)
        hidden, features = chain.hidden[config.tap], config.teacher.config.hidden_spec(chain.image)
        self.grid, self.teacher_grid = hidden.shape, features.shape
        self.projection = make_projection(config.projection, hidden.dim, features.dim)

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """The unweighted term."""
        projected = self.projection(state.decoded.hidden[self.config.tap])
        cosine = F.cosine_similarity(at_least_float32(projected), self._wanted(state), dim=-1)
        return {"": -cosine.mean()}

    def _wanted(self, state: Pass) -> Tensor:
        """The teacher's features ``[B, T, D]`` of the images, on the tap's grid."""
        features = at_least_float32(self.features(state))
        if self.grid == self.teacher_grid:
            return features
        return to_tokens(F.interpolate(to_map(features, self.teacher_grid), self.grid, mode="bilinear"))


def make_projection(config: ProjectionConfig, width: int, dim: int) -> nn.Sequential:
    """From ``width`` to ``dim`` channels: linear maps named ``0``, ``2``, ``4`` and so on, activations between them."""
    widths = [width, *[config.expansion * width] * (config.layers - 1), dim]
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        linear = nn.Linear(before, after)
        nn.init.normal_(linear.weight, std=before**-0.5 if config.init_std is None else config.init_std)
        nn.init.zeros_(linear.bias)
        parts += [linear, ACTIVATIONS[config.activation]()]
    return nn.Sequential(*parts[:-1])
