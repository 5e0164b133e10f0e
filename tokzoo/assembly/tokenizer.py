"""A tokenizer: encoder → quantizer → decoder, as trained and as used."""

from dataclasses import asdict
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tokzoo.assembly.build import build_parts
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Decoder, Encoder, Quantizer
from tokzoo.contracts.specs import Chain, ImageSpec
from tokzoo.data.files import read_json, write_atomic, write_json
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import Registry, load_registry

FORMAT = "tokzoo.tokenizer/1"
WEIGHTS = "tokenizer.safetensors"
DESCRIPTION = "tokenizer.json"


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
            TokzooError: images of another shape, or a continuous quantizer, which has no codes.
        """
        expected = (self.chain.image.channels, *self.chain.image.size)
        if images.shape[1:] != expected:
            raise TokzooError(f"expected images [B, {', '.join(map(str, expected))}], found {list(images.shape)}")
        codes = self.quantizer(self.encoder(images).latent).codes
        if codes is None:
            raise TokzooError(f"quantizer '{self.recipe.quantizer.use}' is continuous: it makes no codes")
        return codes  # type: ignore[no-any-return]

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
            latent = self.quantizer(self.encoder(images).latent).latent
            return self.decoder.decode(latent).clamp(-1.0, 1.0), None
        codes = self.encode(images)
        return self.decoder.decode(self.quantizer.decode(codes)).clamp(-1.0, 1.0), codes

    def _check_codes(self, codes: Tensor) -> None:
        spec = self.chain.codes
        if spec is None:
            raise TokzooError(f"quantizer '{self.recipe.quantizer.use}' is continuous: there are no codes to decode")
        if codes.dtype != torch.int64 or codes.shape != spec.batch_shape(len(codes)):
            expected = ", ".join(map(str, ["B", *spec.batch_shape(1)[1:]]))
            raise TokzooError(f"expected int64 codes [{expected}], found {codes.dtype} {list(codes.shape)}")
        vocab = codes.new_tensor(spec.vocab) if spec.levels > 1 else spec.vocab[0]
        if codes.numel() and bool(((codes < 0) | (codes >= vocab)).any()):
            raise TokzooError(f"codes outside the vocabulary: {spec} end at {max(spec.vocab) - 1}")

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and recipe (JSON) to a folder. Reads back with :meth:`load`."""
        folder = Path(folder)
        description = {
            "format": FORMAT,
            "recipe": self.recipe.dump(),
            "image": asdict(self.chain.image),
            "classes": self.chain.classes,
        }
        write_json(folder / DESCRIPTION, description)
        state = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_atomic(folder / WEIGHTS, lambda path: save_file(state, path))

    @classmethod
    def load(cls, folder: str | Path, registry: Registry | None = None, device: str | torch.device = "cpu") -> Self:
        """A saved tokenizer, in eval mode.

        Raises:
            TokzooError: not a tokenizer's folder, a component that is not installed, or weights that do not fit it.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
            raise TokzooError(f"{folder}: not a saved tokenizer ({DESCRIPTION} and {WEIGHTS} expected)")
        description = read_json(folder / DESCRIPTION)
        if description.get("format") != FORMAT:
            raise TokzooError(f"{folder / DESCRIPTION}: format {description.get('format')!r}; this reads {FORMAT}")
        registry = registry or load_registry()
        recipe = resolve_recipe(Tree.from_data(description["recipe"], DESCRIPTION), registry.components)
        image = ImageSpec(description["image"]["channels"], tuple(description["image"]["size"]))
        tokenizer = cls(recipe, solve(recipe, image, description["classes"], registry.components))
        try:
            tokenizer.load_state_dict(load_file(folder / WEIGHTS))
        except RuntimeError as error:
            raise TokzooError(f"{folder / WEIGHTS}: {error}") from error
        return tokenizer.to(device).eval()
