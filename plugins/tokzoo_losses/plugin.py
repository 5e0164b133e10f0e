"""What this package offers to tokzoo."""

from collections.abc import Sequence

import tokzoo
from tokzoo_losses.configs import EntropyConfig, L1Config, L2Config


@tokzoo.hookimpl
def tokzoo_components() -> Sequence[tokzoo.ComponentSpec]:
    """The regularizers."""
    return (
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="l1",
            config=L1Config,
            target="tokzoo_losses.l1:L1",
            summary="mean absolute error between reconstruction and image",
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="l2",
            config=L2Config,
            target="tokzoo_losses.l2:L2",
            summary="mean squared error between reconstruction and image",
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="entropy",
            config=EntropyConfig,
            target="tokzoo_losses.entropy:AssignmentEntropy",
            summary="each latent's assignment to codes certain, the mean assignment spread over the codebook",
            paper="arXiv 2310.05737; 2504.08736 (GigaTok)",
        ),
    )
