"""A way around the quantizer, for the start of training: GigaTok's (arXiv 2504.08736, as in its published code).

The encoder's feature map is decoded directly, which teaches both convolutional ends before the codes mean anything, and
the decoder's own feature map is drawn to the encoder's.
"""

import torch.nn.functional as F
from torch import Tensor

from tokzoo import Pass, Regularizer, View
from tokzoo.nn.precision import at_least_float32
from tokzoo.nn.tokens import to_tokens
from tokzoo_losses.configs import MAP_TAP


class Shortcut(Regularizer):
    """The view ``"shortcut"``, and the term ``feature``.

    The view is decoded from the encoder's feature map, which is not detached; image terms that run over all views judge
    it with their own weights. The term compares the map the decoder makes of the quantized latent with the encoder's,
    detached: ``mse`` is the mean squared error over all elements, ``cosine`` the mean of ``1 - cos`` over places.
    """

    def views(self, state: Pass) -> dict[str, View]:
        """The direct reconstruction, if it is asked for."""
        if not self.config.direct:
            return {}
        return {"shortcut": View(state.tokenizer.decoder.decode_feature_map(state.encoded.feature_map), state.images)}

    def terms(self, state: Pass) -> dict[str, Tensor]:
        """The unweighted term ``feature``, if it is asked for."""
        if self.config.feature == "none":
            return {}
        ours = at_least_float32(state.decoded.hidden[MAP_TAP])
        theirs = at_least_float32(to_tokens(state.encoded.feature_map).detach())
        if self.config.feature == "mse":
            return {"feature": F.mse_loss(ours, theirs)}
        return {"feature": 1 - F.cosine_similarity(ours, theirs, dim=-1).mean()}
