"""RAR: an autoregressive model that learns codes in random orders, and ever more often in raster order.

Yu et al. (arXiv 2411.00776): section 3.2. Which position comes next is told by
its own embedding, added to the code before it.
"""

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

import tokzoo
from tokzoo.contracts.configs import check_spans
from tokzoo.nn.sampling import draw, filtered_probabilities, seeded_uniforms
from tokzoo.nn.tokens import learned_tokens

LARGEST = 2**20
"""Codes that a table may have a row for."""


class RARSampler(tokzoo.Config):
    temperature: float = Field(1.0, gt=0)


class RARConfig(tokzoo.ARConfig):
    sampler = RARSampler

    layers: int = Field(24, ge=1)
    heads: int = Field(16, ge=1)
    width: int = Field(768, ge=1)
    start: int | float = Field(0.5, ge=0, description="until then all orders are random; steps, or a fraction")
    end: int | float = Field(0.75, ge=0, description="from then on all are raster order; steps, or a fraction")

    @model_validator(mode="after")
    def _are_steps_or_fractions(self) -> "RARConfig":
        check_spans(self, ("start", "end"))
        return self

    def accepts(self, tokens: tokzoo.Tokens) -> None:
        codes = tokens.codes
        if codes is None or codes.levels != 1 or codes.vocab_by != "level" or codes.segments:
            raise tokzoo.Refusal(f"learns one code of one vocabulary at each position, not {codes or 'latents'}")
        if codes.largest > LARGEST:
            raise tokzoo.Refusal(f"has a row for each code, and {codes.largest:,} are too many")

    def randomness(self, progress: tokzoo.Progress) -> float:
        """How likely an order is random: 1 until ``start``, then falling linearly to 0 at ``end``."""
        start, end = progress.steps(self.start), progress.steps(self.end)
        return 1.0 if progress.step < start else max(0.0, 1 - (progress.step - start) / max(1, end - start))


class RAR(tokzoo.ARModel):
    def __init__(self, config: RARConfig, tokens: tokzoo.Tokens, quantizer: tokzoo.Quantizer | None = None) -> None:
        super().__init__(config, tokens, quantizer)
        width, self.length, self.null = config.width, tokens.codes.positions, tokens.classes or 0
        self.starts = nn.Embedding(self.null + 1, width)
        self.words = nn.Embedding(tokens.codes.largest, width)
        self.places = learned_tokens(self.length, width)
        self.targets = learned_tokens(self.length, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, config.heads, 4 * width, 0.0, batch_first=True, norm_first=True)
            for _ in range(config.layers)
        )
        self.head = nn.Linear(width, tokens.codes.largest)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    def forward(self, codes: Tensor, labels: Tensor | None, progress: tokzoo.Progress | None = None) -> tokzoo.ARLoss:
        """Exact in raster order, in eval mode; in training, of the order that was drawn."""
        order = torch.arange(self.length, device=codes.device).expand(codes.shape)
        if self.training and progress is not None:
            drawn = torch.rand(len(codes), 1, device=codes.device) < self.config.randomness(progress)
            order = torch.where(drawn, torch.rand(codes.shape, device=codes.device).argsort(1), order)
        logits = self.head(self._run(codes, labels, order, self.depth)).float()
        nats = F.cross_entropy(logits.transpose(1, 2), codes.gather(1, order), reduction="none").mean(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=True)

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        return self._run(codes, labels, torch.arange(self.length, device=codes.device).expand(codes.shape), layer)

    @torch.no_grad()
    def sample(self, labels: Tensor | None, sampler: RARSampler, seeds: Tensor) -> Tensor:
        uniforms = seeded_uniforms(seeds.tolist(), self.length).to(self.places.device)
        codes = torch.zeros(uniforms.shape, dtype=torch.int64, device=uniforms.device)
        for position in range(self.length):
            logits = self.head(self.features(codes, labels, self.depth)[:, position]).float()
            p = filtered_probabilities(logits, sampler.temperature, 0, 1.0)
            codes[:, position] = draw(p, uniforms[:, position])
        return codes

    def _run(self, codes: Tensor, labels: Tensor | None, order: Tensor, layers: int) -> Tensor:
        """The stream of codes in ``order``: position t sees the start and the t codes before."""
        starts = codes.new_full((len(codes),), self.null) if labels is None else labels
        before = self.words(codes.gather(1, order)[:, :-1]) + self.places[order[:, :-1]]
        x = torch.cat([self.starts(starts)[:, None], before], 1) + self.targets[order]
        hidden = torch.ones(self.length, self.length, dtype=torch.bool, device=x.device).triu(1)
        for block in self.blocks[:layers]:
            x = block(x, hidden)
        return x


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    small = {"layers": 2, "heads": 2, "width": 16}
    return [tokzoo.ComponentSpec("ar", "strain/rar", RARConfig, RAR, "random orders at first", example=small)]
