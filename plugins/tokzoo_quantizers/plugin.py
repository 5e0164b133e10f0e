"""What this package offers to tokzoo."""

from collections.abc import Sequence

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> Sequence[tokzoo.ComponentSpec]:
    """The quantizers."""
    return (
        tokzoo.ComponentSpec(
            kind="quantizer",
            name="vq",
            config="tokzoo_quantizers.configs:VQConfig",
            target="tokzoo_quantizers.vq:VectorQuantizer",
            summary="learned codebook (by gradients or EMA); L2 norm, rotation trick, k-means and revival as options",
            paper="arXiv 1711.00937; 2110.04627 (L2 norm), 2410.06424 (rotation), 2504.08736 (GigaTok)",
        ),
        tokzoo.ComponentSpec(
            kind="quantizer",
            name="fsq",
            config="tokzoo_quantizers.configs:FSQConfig",
            target="tokzoo_quantizers.fsq:FiniteScalarQuantizer",
            summary="rounds each bounded channel to a few levels; no learned codebook, no losses",
            paper="arXiv 2309.15505, section 3 and appendix A.1",
        ),
    )
