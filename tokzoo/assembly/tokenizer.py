"""A tokenizer: encoder → quantizer → decoder, as trained and as used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from tokzoo.assembly.build import build_parts
from tokzoo.assembly.weights import load_weights, save_weights
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Decoder, Encoder, Quantizer
from tokzoo.contracts.specs import Chain
from tokzoo.recipes.models import PARTS, Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.saved import DESCRIPTION, WEIGHTS, Saved
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import Registry, load_registry


class Tokenizer(nn.Module):
    """Images to codes and back.

    Attributes:
        recipe: what it was made from.
        chain: the shapes its parts agreed on; ``chain.codes`` describes the codes.
    """

    def __init__(self, recipe: Recipe, chain: Chain) -> None:
        super().__init__()
        self.recipe = recipe
        self.chain = chain
        encoder, quantizer, decoder = build_parts(recipe, chain)
        self.encoder: Encoder = encoder
        self.quantizer: Quantizer = quantizer
        self.decoder: Decoder = decoder

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Codes int64 ``[B, M]`` or ``[B, M, L]`` of images ``[B, C, H, W]`` in [-1, 1]. Call ``eval()`` first.

        Raises:
            TokzooError: images of another shape or type, or a quantizer that makes no codes (it is continuous, or in
                the unquantized warm-up of its training).
        """
        self._check_images(images)
        codes = self.quantizer(self.encoder(images).latent).codes
        if codes is None:
            why = "is continuous" if self.chain.codes is None else "is in its unquantized warm-up: call eval() first"
            raise TokzooError(f"there are no codes: quantizer '{self.recipe.quantizer.use}' {why}")
        return codes

    @torch.no_grad()
    def decode(self, codes: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images ``[B, C, H, W]`` of codes, clamped to [-1, 1]; ``generator`` seeds a generative decoder.

        Raises:
            TokzooError: codes of another shape or type, or outside the vocabulary.
        """
        self._check_codes(codes)
        return self.decoder.decode(self.quantizer.decode(codes), generator).clamp(-1.0, 1.0)

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Reconstructions clamped to [-1, 1], and the codes they were decoded from (None: continuous)."""
        if self.chain.codes is None:
            self._check_images(images)
            latent = self.quantizer(self.encoder(images).latent).latent
            return self.decoder.decode(latent).clamp(-1.0, 1.0), None
        codes = self.encode(images)
        return self.decoder.decode(self.quantizer.decode(codes)).clamp(-1.0, 1.0), codes

    def _check_images(self, images: Tensor) -> None:
        expected = (self.chain.image.channels, *self.chain.image.size)
        if images.ndim != 4 or images.shape[1:] != expected or not images.is_floating_point():
            shape = ", ".join(map(str, expected))
            found = f"{images.dtype} {list(images.shape)}"
            raise TokzooError(f"expected images [B, {shape}] of floating point in [-1, 1], found {found}")

    def _check_codes(self, codes: Tensor) -> None:
        spec = self.chain.codes
        if spec is None:
            raise TokzooError(f"quantizer '{self.recipe.quantizer.use}' is continuous: there are no codes to decode")
        expected = spec.batch_shape(1)[1:]
        if codes.dtype != torch.int64 or codes.ndim != 1 + len(expected) or codes.shape[1:] != expected:
            shape = ", ".join(map(str, expected))
            raise TokzooError(f"expected codes [B, {shape}] of int64, found {codes.dtype} {list(codes.shape)}")
        vocab = codes.new_tensor(spec.vocab) if spec.levels > 1 else spec.vocab[0]
        if codes.numel() and bool(((codes < 0) | (codes >= vocab)).any()):
            raise TokzooError(f"codes outside the vocabulary: {spec} begin at 0 and end before that")

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and recipe (JSON) to a folder. Reads back with :meth:`load`."""
        folder = Path(folder)
        # Where its weights once came from does not matter to those who read it.
        recipe = self.recipe.model_copy(update={"weights": None, "init": None}).dump()
        Saved(folder, recipe, self.chain.image, self.chain.classes).write()
        save_weights(self.state_dict(), folder / WEIGHTS)

    @classmethod
    def load(cls, folder: str | Path, registry: Registry | None = None, device: str | torch.device = "cpu") -> Self:
        """A saved tokenizer, in eval mode.

        What only shaped it in training, such as a regularizer of somebody's script, need not be known here; its recipe
        is then without.

        Raises:
            TokzooError: not a tokenizer's folder, a component that is not installed, or weights that do not fit it.
        """
        saved = Saved.read(Path(folder))
        registry = registry or load_registry()
        try:
            recipe, chain = _solved(saved, saved.recipe, registry)
        except TokzooError:
            needed = {name: value for name, value in saved.recipe.items() if name in ("name", *PARTS)}
            recipe, chain = _solved(saved, needed, registry)
        tokenizer = cls(recipe, chain)
        load_weights(tokenizer, saved.folder / WEIGHTS)
        return tokenizer.to(device).eval()


def _solved(saved: Saved, content: Mapping[str, Any], registry: Registry) -> tuple[Recipe, Chain]:
    recipe = resolve_recipe(Tree.from_data(content, DESCRIPTION), registry.components)
    return recipe, solve(recipe, saved.image, saved.classes, registry.components)
