"""Optional abilities of components. A config names them in ``provides`` / ``requires``; the module implements them.

What requires one may say of which part: ``"decoder.last_layer"`` is not provided by an encoder that has a last layer.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from tokzoo.contracts.outputs import Assignment, Decoded


@runtime_checkable
class HasAssignment(Protocol):
    """A quantizer whose codes are chosen by distance or product (``provides = {"assignment"}``)."""

    def assignment(self, latent: Tensor) -> Sequence[Assignment]:
        """The factors of the affinities of ``latent`` ``[B, N, c]``, differentiable in latent and codebook.

        One for each level, group or bit whose choice is made by itself; the entropies of a code are their sums.
        """


@runtime_checkable
class DecodesFeatureMap(Protocol):
    """A decoder that can also decode the encoder's feature map (``provides = {"feature_map_decoding"}``)."""

    def decode_feature_map(self, feature_map: Tensor) -> Decoded:
        """Images straight from ``[B, C', h, w]``, around the quantizer."""


@runtime_checkable
class PredictsNextScale(Protocol):
    """A multi-scale quantizer, for AR models that predict scale by scale (``provides = {"next_scale"}``).

    VAR (arXiv 2404.02905), algorithm 2.
    """

    def next_scale(self, codes: Tensor, scale: int) -> Tensor:
        """What is known of scale ``scale`` (from 1) once all before it are.

        Args:
            codes: int64 ``[B, M']``, those of the scales before it.
            scale: its index in ``CodeSpec.segments``.

        Returns:
            The sum of the decoded scales, brought to the scale's shape: ``[B, positions of the scale, c]``.
        """


@runtime_checkable
class DecodesPrefix(Protocol):
    """A quantizer or a decoder of ordered tokens (``provides = {"prefix_decoding"}``).

    A quantizer gives the whole latent for the codes of its first scales; a decoder gives images for the first positions
    of a latent, any number of them. Such a decoder names in ``missing`` ``[c]`` the vector that stands for a position
    that is not there, so that what it is trained on (nested dropout) and what it decodes are the same.
    """

    def decode(self, tokens: Tensor, *further: object) -> Tensor:
        """The component's own ``decode``, of fewer tokens."""


@runtime_checkable
class HasLastLayer(Protocol):
    """An encoder or decoder that names its last weights (``provides = {"last_layer"}``).

    Terms that adapt their weight compare gradients there (VQGAN, arXiv 2012.09841, equation 7).
    """

    def last_layer(self) -> Tensor:
        """A parameter that all of its output passes."""
