"""Optional abilities of components. A config names them in ``provides`` / ``requires``; the module implements them."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from tokzoo.contracts.outputs import Assignment, Decoded


@runtime_checkable
class HasAssignment(Protocol):
    """A quantizer whose codes are chosen by distance (``provides = {"assignment"}``)."""

    def assignment(self, latent: Tensor) -> Assignment:
        """The factors of the affinities of ``latent`` ``[B, N, c]``, differentiable in latent and codebook."""


@runtime_checkable
class DecodesFeatureMap(Protocol):
    """A decoder that can also decode the encoder's feature map (``provides = {"feature_map_decoding"}``)."""

    def decode_feature_map(self, feature_map: Tensor) -> Decoded:
        """Images straight from ``[B, C', h, w]``, around the quantizer."""
