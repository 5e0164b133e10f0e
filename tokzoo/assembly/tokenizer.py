"""A tokenizer: encoder → quantizer → decoder, as trained and as used."""

import math
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from tokzoo.assembly.answers import expected
from tokzoo.assembly.build import build_parts
from tokzoo.assembly.inputs import Codes, Images, as_codes, as_images, found
from tokzoo.assembly.weights import load_weights
from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Decoder, Encoder, Quantizer
from tokzoo.contracts.outputs import Encoded, Quantized
from tokzoo.contracts.specs import PREFIX_DECODING, Chain
from tokzoo.data.tensors import save_tensors
from tokzoo.recipes.models import PARTS, Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.saved import DESCRIPTION, WEIGHTS, Saved
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import Registry, load_registry


class Tokenizer(nn.Module):
    """Images to codes and back.

    Attributes:
        recipe: what it was made from.
        chain: the shapes its parts agreed on; ``chain.codes`` describes the codes.
        sampler: how a generative decoder draws images.
        prefixes: from how many leading code positions images can be decoded, in rising order; all of them alone where
            neither quantizer nor decoder provides ``"prefix_decoding"``.
    """

    def __init__(self, recipe: Recipe, chain: Chain) -> None:
        super().__init__()
        self.recipe = recipe
        self.chain = chain
        encoder, quantizer, decoder = build_parts(recipe, chain)
        self.encoder: Encoder = encoder
        self.quantizer: Quantizer = quantizer
        self.decoder: Decoder = decoder
        self.sampler: Config = recipe.sampler.decoder
        self.prefixes = _prefixes(recipe, chain)

    def encode(self, images: Images) -> Tensor:
        """Codes int64 ``[B, M]`` or ``[B, M, L]``. Call ``eval()`` first.

        Args:
            images: ``[B, C, H, W]``, a tensor or an array of floating point in [-1, 1] or of uint8; or a picture of
                PIL's, or several, each cut to the aspect of the tokenizer's images and resized, as a file would be.

        Raises:
            TokzooError: images of another shape, type or range, or a quantizer that makes no codes (it is continuous,
                or in the unquantized warm-up of its training).
        """
        return self.codes_of(as_images(images, self.chain.image, self._like))

    @torch.no_grad()
    def codes_of(self, images: Tensor) -> Tensor:
        """The codes that :meth:`encode` gives, of a tensor known to be right: looking at its range takes time.

        Args:
            images: ``[B, C, H, W]`` in [-1, 1], of the parameters' type and on their device.
        """
        codes = self.quantized(self.encoded(images).latent).codes
        if codes is None:
            why = "is continuous" if self.chain.codes is None else "is in its unquantized warm-up: call eval() first"
            raise TokzooError(f"there are no codes: quantizer '{self.recipe.quantizer.use}' {why}")
        return codes

    @torch.no_grad()
    def decode(self, codes: Codes, seeds: Tensor | None = None) -> Tensor:
        """Images ``[B, C, H, W]`` of codes, clamped to [-1, 1]. Call ``eval()`` first.

        Args:
            codes: integers ``[B, M]`` or ``[B, M, L]``, a tensor or an array; of ordered tokens perhaps the first
                alone, one of ``prefixes``.
            seeds: int64 ``[B]``, for a generative decoder: image i depends on its codes and seed alone. None: 0.

        Raises:
            TokzooError: codes of another shape or type, or outside the vocabulary.
        """
        return self._decode(self.quantizer.decode(self._checked(codes)), seeds)

    @torch.no_grad()
    def reconstruct(self, images: Images, seeds: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Reconstructions clamped to [-1, 1], and the codes they were decoded from (None: continuous).

        ``images`` as in :meth:`encode`, ``seeds`` as in :meth:`decode`.
        """
        given = as_images(images, self.chain.image, self._like)
        if self.chain.codes is None:
            return self._decode(self.quantized(self.encoded(given).latent).latent, seeds), None
        codes = self.codes_of(given)
        return self._decode(self.quantizer.decode(codes), seeds), codes

    def from_prefix(self, codes: Tensor, count: int, seeds: Tensor | None = None) -> Tensor:
        """Images of the longest prefix of at most ``count`` code positions; at least the shortest there is."""
        length = max((each for each in self.prefixes if each <= count), default=self.prefixes[0])
        return self.decode(codes[:, :length], seeds)

    def _decode(self, latent: Tensor, seeds: Tensor | None) -> Tensor:
        if seeds is None:
            seeds = torch.zeros(len(latent), dtype=torch.int64, device=latent.device)
        images = self.decoder.decode(latent, seeds, self.sampler)
        return expected(images, Tensor, self.named("decoder"), "decode").clamp(-1.0, 1.0)

    def encoded(self, images: Tensor) -> Encoded:
        """What the encoder makes of images."""
        return expected(self.encoder(images), Encoded, self.named("encoder"), "forward")

    def quantized(self, latent: Tensor) -> Quantized:
        """What the quantizer makes of a latent."""
        return expected(self.quantizer(latent), Quantized, self.named("quantizer"), "forward")

    def named(self, part: str) -> str:
        """How messages name a part."""
        slot: Slot = getattr(self.recipe, part)
        return f"{part} '{slot.use}' (plugin {slot.entry.plugin})"

    @property
    def _like(self) -> Tensor:
        """A tensor of the type that its parts compute in, and on their device."""
        return next((each for each in self.parameters() if each.is_floating_point()), torch.empty(0))

    def _checked(self, given: Codes) -> Tensor:
        spec = self.chain.codes
        if spec is None:
            raise TokzooError(f"quantizer '{self.recipe.quantizer.use}' is continuous: there are no codes to decode")
        expected = spec.batch_shape(1)[1:]
        codes = as_codes(given, self._like)
        if (
            codes is None
            or codes.ndim != 1 + len(expected)
            or codes.shape[2:] != expected[1:]
            or codes.shape[1] not in self.prefixes
        ):
            shape = ", ".join(map(str, expected))
            raise TokzooError(f"expected codes [B, {shape}] of integers, found {found(given)}")
        sizes = spec.vocab[: codes.shape[1]] if spec.vocab_by == "position" else spec.vocab
        vocab = codes.new_tensor(sizes) if len(spec.vocab) > 1 else spec.vocab[0]
        if codes.numel() and bool(((codes < 0) | (codes >= vocab)).any()):
            raise TokzooError(f"codes outside the vocabulary: {spec} begin at 0 and end before that")
        return codes

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and recipe (JSON) to a folder. Reads back with :meth:`load`.

        Raises:
            TokzooError: a file that a part started from is gone.
        """
        folder = Path(folder)
        # Where its weights once came from does not matter to those who read it.
        recipe = self.recipe.model_copy(update={"weights": None, "init": None}).dump()
        # Cells share it that judge it by different AR models.
        for holder in (recipe, recipe["train"], recipe["sampler"]):
            holder.pop("ar", None)
        # What a part started from is in its weights: those who load it need no such file.
        for part in PARTS:
            recipe[part] |= getattr(self.recipe, part).hashes()
        Saved(folder, recipe, self.chain.image, self.chain.classes).write()
        save_tensors(self.state_dict(), folder / WEIGHTS)

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
            needed = {name: value for name, value in saved.recipe.items() if name in ("name", *PARTS, "sampler")}
            recipe, chain = _solved(saved, needed, registry)
        tokenizer = cls(recipe, chain)
        load_weights(tokenizer, saved.folder / WEIGHTS)
        return tokenizer.to(device).eval()


def _prefixes(recipe: Recipe, chain: Chain) -> tuple[int, ...]:
    """The numbers of leading code positions from which images can be decoded."""
    if chain.codes is None:
        return ()
    every = tuple(range(1, chain.codes.positions + 1))
    if PREFIX_DECODING in recipe.quantizer.config.provides:
        return tuple(accumulate(map(math.prod, chain.codes.segments))) if chain.codes.segments else every
    # Where codes stand for latent positions one by one, fewer codes are fewer positions.
    return every if PREFIX_DECODING in recipe.decoder.config.provides and not chain.codes.segments else every[-1:]


def _solved(saved: Saved, content: Mapping[str, Any], registry: Registry) -> tuple[Recipe, Chain]:
    recipe = resolve_recipe(Tree.from_data(content, DESCRIPTION), registry.components)
    return recipe, solve(recipe, saved.image, saved.classes, registry.components)
