"""What the four transformers of GigaTok (arXiv 2504.08736) share: the way in, the stack of layers, the last norm."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tokzoo.nn.transformer import CrossAttentionLayer, SelfAttentionLayer
from tokzoo_gigatok.configs import BackboneConfig, GridLayer

Hidden = dict[int, Tensor]


class TokenTransformer(nn.Module):
    """Norm and embed tokens, run layers, norm again. Subclasses say what each layer is given.

    Args:
        config: the sizes.
        layer: the class of the layers.
    """

    def __init__(self, config: BackboneConfig, layer: type[nn.Module]) -> None:
        super().__init__()
        width, layers, heads = config.dimensions
        self.checkpointing = config.checkpointing
        self.ln_pre = nn.LayerNorm(config.map_channels)
        self.embed = nn.Linear(config.map_channels, width)
        self.layers = nn.ModuleList(layer(width, heads) for _ in range(layers))
        self.ln_post = nn.LayerNorm(width)

    def enter(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, T, map_channels]`` as ``[B, T, width]``."""
        return self.embed(self.ln_pre(tokens))

    def run(
        self, stream: Tensor, inputs: Callable[[Tensor], tuple[Tensor, ...]], taps: Collection[int | str] = ()
    ) -> tuple[Tensor, Hidden]:
        """Run all layers.

        Args:
            stream: ``[B, T, width]``.
            inputs: what a layer is called with, given the stream before it.
            taps: numbers of the layers (from 1) after which the stream is kept.

        Returns:
            The normed stream ``[B, T, width]``, and the raw stream at each tap.
        """
        hidden: Hidden = {}
        recompute = self.checkpointing and self.training and torch.is_grad_enabled()
        for number, layer in enumerate(self.layers, start=1):
            if recompute:
                stream = checkpoint(layer, *inputs(stream), use_reentrant=False, preserve_rng_state=False)
            else:
                stream = layer(*inputs(stream))
            if number in taps:
                hidden[number] = stream
        return self.ln_post(stream), hidden


GRID_LAYERS: dict[GridLayer, type[nn.Module]] = {"plain": SelfAttentionLayer, "detr": CrossAttentionLayer}


def run_on_grid(
    transformer: TokenTransformer, stream: Tensor, position: Tensor, taps: Collection[int | str] = ()
) -> tuple[Tensor, Hidden]:
    """Run a transformer of either grid layer over a stream ``[B, T, width]`` with positions ``[T, width]``.

    Plain layers have the positions added once, before the first. A detr layer reads, un-normed, the very stream it is
    given, before its own self-attention changes it.
    """
    if isinstance(transformer.layers[0], CrossAttentionLayer):
        return transformer.run(stream, lambda t: (t, t, t + position, position), taps)
    return transformer.run(stream + position, lambda t: (t,), taps)
