"""LlamaGen's class-conditional GPT (arXiv 2406.06525) as GigaTok trains it (arXiv 2504.08736, section 3.1).

The sequence is a start embedding, which stands for the class, and the codes in order; N inputs predict N codes.
Positions are learned and absolute, or rotary (arXiv 2104.09864), along the sequence or along the rows and columns of a
grid as LlamaGen has them. With adaLN the start also conditions every norm.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.kv_cache import KVCache
from tokzoo.nn.llama import MODULATIONS, LlamaBlock, Modulation
from tokzoo.nn.rms_norm import RMSNorm
from tokzoo.nn.rotary import Rotation, rotation
from tokzoo.nn.sampling import draw, filtered_probabilities, guide, seeded_uniforms
from tokzoo.nn.tokens import learned_tokens
from tokzoo_ar.configs import GPTConfig, GPTSampler

INIT_STD = 0.02


class GPT(tokzoo.ARModel):
    """A causal transformer over codes.

    The last row of ``starts`` is the null class, which stands for "any": it is trained by label dropout, and it is the
    only row of a model without classes, which reads no labels.

    With rotary positions the start stands at 0, where nothing is turned, and the codes come after it: at 1 to N in a
    sequence; in a grid at (row + 1, column + 1), so that no code is in the start's row or column. (LlamaGen's code
    begins the grid at 0, and multiplies the start's queries and keys by 0.)
    """

    def __init__(
        self,
        config: GPTConfig,
        tokens: tokzoo.Tokens,
        quantizer: tokzoo.Quantizer | None = None,
    ) -> None:
        super().__init__(config, tokens, quantizer)
        self.config = config
        codes, classes = tokens.codes, tokens.classes
        self.classes, self.length, self.grid = classes, codes.positions, codes.shape
        self.null_class = classes or 0
        width = config.shape.width
        self.starts = nn.Embedding(self.null_class + 1, width)
        self.tokens = nn.Embedding(codes.vocab[0], width)
        # One row more than is read: released weights have a place for the last code too.
        self.positions = learned_tokens(1 + self.length, width) if config.positions == "learned" else None
        self.dropout = nn.Dropout(config.token_dropout)
        self.blocks = nn.ModuleList(make_blocks(config))
        self.norm = RMSNorm(width)
        self.head = nn.Linear(width, codes.vocab[0], bias=False)
        self.modulation = nn.Linear(width, MODULATIONS * width) if config.adaln == "shared" else None
        self.final_modulation = nn.Linear(width, 2 * width) if config.adaln != "none" else None
        self._initialise()

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD)
            if name == "head" or name.endswith("modulation"):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    def forward(self, codes: Tensor, labels: Tensor | None, progress: tokzoo.Progress | None = None) -> tokzoo.ARLoss:
        """Mean cross-entropy of codes int64 ``[B, N]`` given labels int64 ``[B]``; None: the null class."""
        logits = self.logits(codes, labels)
        per_token = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
        per_image = per_token.unflatten(0, codes.shape).mean(dim=1)
        return tokzoo.ARLoss(loss=per_image.mean(), nats_per_token=per_image.detach(), exact=True)

    def logits(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Logits fp32 ``[B, N, vocab]`` of every code given those before it; in training mode, with all dropouts."""
        return self._predict(*self._hidden(codes, labels, len(self.blocks)))

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return len(self.blocks)

    @torch.no_grad()
    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        """Hidden states ``[B, N, width]`` after block ``layer``, start position included, without any dropout.

        Raises:
            Refusal: there is no such block.
        """
        if not 1 <= layer <= len(self.blocks):
            raise tokzoo.Refusal(f"has no block {layer}; choose one from 1 to {len(self.blocks)}")
        with _evaluating(self):
            hidden, _ = self._hidden(codes, labels, layer)
            return hidden

    @torch.no_grad()
    def sample(self, labels: Tensor | None, sampler: GPTSampler, seeds: Tensor) -> Tensor:
        """Codes int64 ``[B, N]``; image i depends on ``labels[i]`` and ``seeds[i]`` alone, up to rounding of logits.

        Raises:
            Refusal: guidance is asked of a model without classes.
        """
        sampler.accepts(self.classes)
        device = self.starts.weight.device
        uniforms = seeded_uniforms(seeds.tolist(), self.length).to(device)
        scales = None if sampler.cfg == 1 else sampler.schedule.scales(sampler.cfg, self.length)
        codes = torch.empty(uniforms.shape, dtype=torch.int64, device=device)
        with _evaluating(self):
            steps = self.decode_steps(labels, len(seeds), scales)
            chosen = None
            for position in range(self.length):
                logits = steps.send(chosen)
                codes[:, position] = chosen = _choose(logits, sampler, uniforms[:, position])
        return codes

    @torch.no_grad()
    def decode_steps(
        self, labels: Tensor | None, batch: int, scales: Sequence[float] | None
    ) -> Generator[Tensor, Tensor | None, None]:
        """Decode with a cache: yield logits fp32 ``[B, vocab]`` of each code in turn, and be sent the codes ``[B]``.

        Begin with ``send(None)``. The model must be in eval mode.

        Args:
            labels: int64 ``[B]``; None: the null class.
            batch: B.
            scales: the scale of guidance for each code; None: no guidance, at half the work.
        """
        starts = self._starts(labels, batch)
        copies = 1
        if scales is not None:
            starts, copies = torch.cat([starts, torch.full_like(starts, self.null_class)]), 2
        x = self._placed(self.starts(starts)[:, None], slice(0, 1))
        (modulations, final), cache, turns = self._modulate(x), self._cache(copies * batch), self._rotation()
        for position in range(self.length):
            here = slice(position, position + 1)
            turn = None if turns is None else turns.at(here)
            for block, modulation, past in zip(self.blocks, modulations, cache.at(position), strict=True):
                x = block(x, modulation, turn, past)
            logits = self._predict(x, final).squeeze(1)
            codes = yield logits if scales is None else guide(*logits.chunk(2), scales[position])
            x = self._placed(self.tokens(codes.repeat(copies))[:, None], slice(position + 1, position + 2))

    def _hidden(self, codes: Tensor, labels: Tensor | None, layer: int) -> tuple[Tensor, Modulation | None]:
        """The stream after block ``layer``, and what modulates the last norm."""
        starts = self.starts(self._starts(labels, len(codes)))[:, None]
        x = self._placed(torch.cat([starts, self.tokens(codes[:, :-1])], dim=1), slice(self.length))
        (modulations, final), turns = self._modulate(x[:, :1]), self._rotation()
        x = self.dropout(x)
        for block, modulation in zip(self.blocks[:layer], modulations[:layer], strict=True):
            x = block(x, modulation, turns)
        return x, final

    def _placed(self, x: Tensor, slots: slice) -> Tensor:
        """Add the learned positions of ``slots`` to ``[B, T, width]``."""
        return x if self.positions is None else x + self.positions[slots]

    def _rotation(self) -> Rotation | None:
        """How the N inputs are turned. Made anew each time: kept as a buffer, a change of dtype would round it."""
        if not self.config.axes:
            return None
        sides = self.grid if self.config.axes == 2 else (self.length,)
        device = self.starts.weight.device
        axes = torch.meshgrid(*(torch.arange(1, side + 1, device=device) for side in sides), indexing="ij")
        places = torch.stack(axes, dim=-1).flatten(0, -2)
        return rotation(F.pad(places[:-1], (0, 0, 1, 0)), self.config.head_width)

    def _predict(self, hidden: Tensor, final: Modulation | None) -> Tensor:
        hidden = self.norm(hidden)
        if final is not None:
            shift, scale = final
            hidden = hidden * (1 + scale) + shift
        return self.head(hidden).float()

    def _starts(self, labels: Tensor | None, batch: int) -> Tensor:
        """Rows of ``starts`` ``[B]``: labels, some of them replaced by the null class in training."""
        if labels is None or self.classes is None:
            return torch.full((batch,), self.null_class, device=self.starts.weight.device)
        if not self.training or self.config.label_dropout == 0:
            return labels
        dropped = torch.rand(labels.shape, device=labels.device) < self.config.label_dropout
        return labels.masked_fill(dropped, self.null_class)

    def _modulate(self, start: Tensor) -> tuple[list[Modulation | None], Modulation | None]:
        """What modulates each block, and the last norm; of the start position ``[B, 1, width]`` before dropout."""
        if self.final_modulation is None:
            return [None] * len(self.blocks), None
        condition = F.silu(start)
        for_blocks = condition if self.modulation is None else self.modulation(condition)
        final = self.final_modulation(condition).chunk(2, dim=-1)
        return [block.modulate(for_blocks) for block in self.blocks], final

    def _cache(self, batch: int) -> KVCache:
        layers, heads, _ = self.config.shape
        device, dtype = self.starts.weight.device, self.starts.weight.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        return KVCache((layers, batch, heads, self.length, self.config.head_width), device, dtype)


def make_blocks(config: GPTConfig) -> Iterator[LlamaBlock]:
    """The blocks in order; drop-path rates rise linearly from 0."""
    layers, heads, width = config.shape
    for layer in range(layers):
        yield LlamaBlock(
            width,
            heads,
            config.ffn_width,
            qk_norm=config.qk_norm,
            adaln=config.adaln,
            residual_dropout=config.residual_dropout,
            ffn_dropout=config.ffn_dropout,
            drop_path=config.drop_path * layer / max(layers - 1, 1),
        )


def _choose(logits: Tensor, sampler: GPTSampler, uniforms: Tensor) -> Tensor:
    if sampler.greedy:
        return logits.argmax(dim=-1)
    return draw(filtered_probabilities(logits, sampler.temperature, sampler.top_k, sampler.top_p), uniforms)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropouts off, and back on where they were on."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
