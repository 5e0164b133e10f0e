"""What encoders and decoders do besides giving the published numbers: shapes, taps, starts, memory."""

import pytest
import torch
from torch import nn

from tokzoo import ImageSpec
from tokzoo.contracts.capabilities import DecodesFeatureMap
from tokzoo_gigatok.configs import (
    QFormerDecoderConfig,
    QFormerEncoderConfig,
    ViTDecoderConfig,
    ViTEncoderConfig,
)
from tokzoo_gigatok.qformer_decoder import QFormerDecoder
from tokzoo_gigatok.qformer_encoder import QFormerEncoder
from tokzoo_gigatok.vit_decoder import ViTDecoder
from tokzoo_gigatok.vit_encoder import ViTEncoder

# Every axis has a length of its own, so that a mix-up cannot fit.
SMALL = {
    "size": None,
    "width": 24,
    "layers": 2,
    "heads": 3,
    "channels": 4,
    "multipliers": [1, 2, 1],
    "blocks": 1,
    "groups": 2,
    "map_channels": 10,
    "init_std": None,
}
IMAGE = ImageSpec(1, (16, 32))
GRID = (4, 8)
VARIANTS = {
    "vit-plain": (ViTEncoder, ViTEncoderConfig, {"layer": "plain"}),
    "vit-detr": (ViTEncoder, ViTEncoderConfig, {"layer": "detr"}),
    "qformer-multi-level": (QFormerEncoder, QFormerEncoderConfig, {"tokens": 8}),
    "qformer-learned": (QFormerEncoder, QFormerEncoderConfig, {"tokens": 7, "queries": "learned"}),
    "qformer-mean": (QFormerEncoder, QFormerEncoderConfig, {"tokens": 7, "queries": "mean"}),
}


def make(variant, taps=(), **change):
    torch.manual_seed(0)
    kind, config, fields = VARIANTS[variant]
    config = config(**{**SMALL, **change}, **fields)
    latent = config.latent_spec(IMAGE, 5)
    encoder = kind(config, IMAGE, latent)
    if kind is ViTEncoder:
        return encoder, ViTDecoder(ViTDecoderConfig(**{**SMALL, **change}, **fields), latent, IMAGE, taps)
    return encoder, QFormerDecoder(QFormerDecoderConfig(**{**SMALL, **change}), latent, IMAGE, taps)


def images():
    return torch.rand(2, 1, 16, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


def test_shapes_are_as_promised(variant):
    encoder, decoder = make(variant, taps=(1, 2, "map"))
    encoded = encoder(images())
    spec = encoder.config.latent_spec(IMAGE, 5)
    decoder.config.accepts(spec, IMAGE)
    assert encoded.latent.shape == (2, spec.positions, spec.channels)
    assert encoded.feature_map.shape == (2, 10, *GRID)
    decoded = decoder(encoded.latent)
    assert decoded.images.shape == (2, 1, 16, 32)
    for tap, hidden in decoded.hidden.items():
        promised = decoder.config.hidden_spec(tap, spec, IMAGE)
        assert hidden.shape == (2, promised.positions, promised.dim)
    assert list(decoded.hidden) == [1, 2, "map"]


def test_only_the_taps_asked_for_are_kept(variant):
    encoder, decoder = make(variant, taps=(2,))
    assert list(decoder(encoder(images()).latent).hidden) == [2]
    encoder, decoder = make(variant)
    assert decoder(encoder(images()).latent).hidden == {}


def test_the_last_tap_is_the_stream_before_the_last_norm(variant):
    encoder, decoder = make(variant, taps=(2, "map"))
    kept = {}
    decoder.transformer.ln_post.register_forward_hook(lambda module, inputs, out: kept.update(stream=inputs[0]))
    decoder.cnn.register_forward_hook(lambda module, inputs, out: kept.update(map=inputs[0]))
    hidden = decoder(encoder(images()).latent).hidden
    assert torch.equal(hidden[2], kept["stream"])
    assert torch.equal(hidden["map"], kept["map"].permute(0, 2, 3, 1).reshape(2, 32, 10))


def test_decoding_the_feature_map_is_the_cnn_alone(variant):
    encoder, decoder = make(variant)
    assert isinstance(decoder, DecodesFeatureMap)
    feature_map = encoder(images()).feature_map
    assert torch.equal(decoder.decode_feature_map(feature_map).images, decoder.cnn(feature_map))


def test_every_parameter_learns(variant):
    encoder, decoder = make(variant)
    decoder(encoder(images()).latent).images.square().mean().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_checkpointing_changes_memory_and_nothing_else(variant):
    results = []
    for checkpointing in (False, True):
        encoder, decoder = make(variant, taps=(1,), checkpointing=checkpointing)
        saved = 0

        def count(tensor):
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            decoded = decoder(encoder(images()).latent)
        (decoded.images.square().mean() + decoded.hidden[1].square().mean()).backward()
        gradients = [p.grad for module in (encoder, decoder) for p in module.parameters()]
        results.append((decoded.images, gradients, saved))
    (plain, plain_gradients, plain_saved), (thin, thin_gradients, thin_saved) = results
    assert torch.equal(plain, thin)
    assert all(map(torch.equal, plain_gradients, thin_gradients))
    assert thin_saved < 0.75 * plain_saved


def test_convolutions_are_fed_row_major_images(variant):
    """Channels-last strides would spread from one convolution to the next, and cost the norms their accuracy."""
    encoder, decoder = make(variant)
    fed = []
    for module in (*encoder.modules(), *decoder.modules()):
        if isinstance(module, nn.Conv2d | nn.GroupNorm):
            module.register_forward_hook(lambda module, inputs, out: fed.append(inputs[0]))
    channels_last = images().permute(0, 2, 3, 1).clone().permute(0, 3, 1, 2)
    encoded = encoder(channels_last)
    decoder(encoded.latent)
    decoder.decode_feature_map(encoded.feature_map.to(memory_format=torch.channels_last))
    assert len(fed) > 40
    assert all(x.stride() == torch.empty(x.shape).stride() for x in fed)


def test_published_start(variant):
    encoder, decoder = make(variant, width=48, init_std=0.02)
    for side in (encoder, decoder):
        published = [
            module.weight.flatten()
            for name, module in side.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and name != "projection"
        ]
        assert torch.cat(published).std().item() == pytest.approx(0.02, rel=0.03)
        for name, module in side.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and name != "projection":
                assert not module.bias.any(), name
        fan_in = side.projection.in_features
        assert 0.5 * fan_in**-0.5 < side.projection.weight.abs().max() <= fan_in**-0.5
        assert side.projection.bias.any()
        for name, parameter in side.named_parameters():
            if name.endswith("in_proj_weight"):
                assert parameter.std().item() == pytest.approx((2 / (4 * 48)) ** 0.5, rel=0.05)
            if name.endswith("_position") or name.endswith("queries"):
                assert parameter.norm(dim=-1).mean().item() == pytest.approx(1, abs=0.1)


def test_start_by_fan_in():
    encoder, _ = make("vit-plain", width=96, heads=3)
    assert encoder.transformer.layers[0].linear2.weight.std().item() == pytest.approx(384**-0.5, rel=0.05)
    assert encoder.transformer.layers[0].linear1.weight.std().item() == pytest.approx(96**-0.5, rel=0.05)


def test_multi_level_queries_start_as_averages_over_blocks():
    encoder, _ = make("qformer-multi-level")
    transformer = encoder.transformer
    transformer.query_projection = nn.Identity()
    memory = torch.randn(2, 32, 24)
    grid = memory.view(2, *GRID, 24)
    whole, left, right = grid.mean((1, 2)), grid[:, :, :4].mean((1, 2)), grid[:, :, 4:].mean((1, 2))
    halves = ((slice(0, 2), slice(2, 4)), (slice(0, 4), slice(4, 8)))
    quarters = [grid[:, rows, columns].mean((1, 2)) for rows in halves[0] for columns in halves[1]]
    expected = torch.stack([whole, whole, left, right, *quarters], dim=1)
    torch.testing.assert_close(transformer._start(memory), expected)


def test_mean_queries_start_alike():
    encoder, _ = make("qformer-mean")
    memory = torch.randn(2, 32, 24)
    start = encoder.transformer._start(memory)
    assert start.shape == (2, 7, 24)
    for i in range(7):
        torch.testing.assert_close(start[:, i], encoder.transformer.query_projection(memory.mean(1)))


def test_grid_queries_of_the_1d_decoder_start_as_the_first_token():
    _, decoder = make("qformer-multi-level")
    kept = {}
    decoder.transformer.layers[0].register_forward_hook(lambda module, inputs, out: kept.update(inputs=inputs))
    decoder(torch.randn(2, 8, 5))
    stream, memory = kept["inputs"][:2]
    assert stream.shape == (2, 32, 24)
    assert torch.equal(stream, memory[:, :1].expand(-1, 32, -1))


def test_compiles_as_one_graph():
    encoder, decoder = make("qformer-multi-level", taps=(1,))
    compiled = [torch.compile(module, backend="eager", fullgraph=True) for module in (encoder, decoder)]
    decoded = compiled[1](compiled[0](images()).latent)
    torch.testing.assert_close(decoded.images, decoder(encoder(images()).latent).images)
    torch.compiler.reset()
