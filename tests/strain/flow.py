"""A decoder that draws images: rectified flow (Liu et al., arXiv 2209.03003, equation 1), conditioned on the latent.

Its own loss is ``‖v(x_t, t | z) - (x_1 - x_0)‖²`` with ``x_t = t x_1 + (1 - t) x_0``, noise x_0 and image x_1. An image
is drawn by Euler steps from noise of its own seed.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.tokens import to_map


class FlowSampler(tokzoo.Config):
    steps: int = Field(4, ge=1)


class FlowConfig(tokzoo.DecoderConfig):
    sampler: ClassVar[type[tokzoo.Config]] = FlowSampler
    width: int = 8

    def accepts(self, latent: tokzoo.LatentSpec, image: tokzoo.ImageSpec) -> None:
        if latent.layout != "grid":
            raise tokzoo.Refusal("wants a grid")


class Flow(tokzoo.Decoder):
    def __init__(self, config: Any, latent: Any, image: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, latent, image, taps)
        self.grid, self.image = latent.shape, image
        self.first = nn.Conv2d(image.channels + latent.channels + 1, config.width, 3, padding=1)
        self.second = nn.Conv2d(config.width, image.channels, 3, padding=1)

    def velocity(self, noised: Tensor, time: Tensor, latent: Tensor) -> Tensor:
        given = F.interpolate(to_map(latent, self.grid), self.image.size)
        when = time.view(-1, 1, 1, 1).expand(-1, 1, *self.image.size)
        return self.second(F.silu(self.first(torch.cat([noised, given, when], 1))))

    def forward(self, latent: Tensor, target: Tensor | None = None) -> tokzoo.Decoded:
        if target is None:
            raise tokzoo.TokzooError("a flow learns from the images it is to make; decode() draws some")
        noise, time = torch.randn_like(target), torch.rand(len(target), device=target.device)
        noised = torch.lerp(noise, target, time.view(-1, 1, 1, 1))
        velocity = self.velocity(noised, time, latent)
        # The image that one step from here would give, for terms that compare images.
        guess = noised + (1 - time.view(-1, 1, 1, 1)) * velocity
        return tokzoo.Decoded(guess, losses={"flow": F.mse_loss(velocity, target - noise)})

    def decode(self, latent: Tensor, seeds: Tensor, sampler: Any = None) -> Tensor:
        steps = (sampler or FlowSampler()).steps
        shape = (self.image.channels, *self.image.size)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()]
        images = torch.stack(drawn).to(latent)
        for step in range(steps):
            images = images + self.velocity(images, latent.new_full((len(latent),), step / steps), latent) / steps
        return images


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [tokzoo.ComponentSpec("decoder", "strain/flow", FlowConfig, Flow, "rectified flow")]
