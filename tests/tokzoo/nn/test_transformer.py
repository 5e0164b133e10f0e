"""Attention, layers and tokens against torch's own attention and against formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tokzoo.nn.attention import PackedAttention
from tokzoo.nn.memory import nchw
from tokzoo.nn.tokens import learned_tokens, to_map, to_tokens
from tokzoo.nn.transformer import CrossAttentionLayer, SelfAttentionLayer

WIDTH, HEADS = 12, 3


def random(*shape):
    return torch.randn(*shape, dtype=torch.double)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def reference(attention):
    """Torch's attention with the same weights, batch-first."""
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=torch.double)
    theirs.load_state_dict(attention.state_dict())
    return lambda q, k, v: theirs(q, k, v, need_weights=False)[0]


@pytest.fixture
def attention():
    module = PackedAttention(WIDTH, HEADS).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def test_attention_is_torchs_for_every_sharing_of_arguments(attention):
    theirs = reference(attention)
    a, b = random(2, 5, WIDTH), random(2, 5, WIDTH)
    memory, key = random(2, 7, WIDTH), random(2, 7, WIDTH)
    for arguments in ((a, a, a), (a, a, b), (a, key, memory), (a, memory, memory)):
        torch.testing.assert_close(attention(*arguments), theirs(*arguments))


def test_attention_starts_as_torchs():
    module = PackedAttention(64, 4)
    bound = (6 / (64 + 3 * 64)) ** 0.5
    assert 0.98 * bound < module.in_proj_weight.abs().max() <= bound
    assert not module.in_proj_bias.any()
    assert not module.out_proj.bias.any()


def layer_norm(x):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def mlp(layer, x):
    hidden = F.linear(x, layer.linear1.weight, layer.linear1.bias)
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    return F.linear(hidden, layer.linear2.weight, layer.linear2.bias)


def test_self_attention_layer():
    layer = SelfAttentionLayer(WIDTH, HEADS).double()
    stream = random(2, 5, WIDTH)
    a = layer_norm(stream)
    after = stream + reference(layer.self_attn)(a, a, a)
    torch.testing.assert_close(layer(stream), after + mlp(layer, layer_norm(after)))


def test_cross_attention_layer_places_queries_and_keys_but_not_values():
    layer = CrossAttentionLayer(WIDTH, HEADS).double()
    # Small streams make the epsilon of the norms visible.
    stream, memory = 1e-2 * random(2, 5, WIDTH), random(2, 7, WIDTH)
    position, memory_position = random(5, WIDTH), random(7, WIDTH)
    a = layer_norm(stream)
    after = stream + reference(layer.self_attn)(a + position, a + position, a)
    after = after + reference(layer.cross_attn)(layer_norm(after) + position, memory + memory_position, memory)
    expected = after + mlp(layer, layer_norm(after))
    torch.testing.assert_close(layer(stream, memory, memory + memory_position, position), expected)


def test_tokens_are_row_major_and_maps_contiguous():
    feature_map = torch.arange(2 * 3 * 2 * 5).reshape(2, 3, 2, 5)
    tokens = to_tokens(feature_map)
    assert torch.equal(tokens[1, 5 + 2], feature_map[1, :, 1, 2])
    back = to_map(tokens, (2, 5))
    assert torch.equal(back, feature_map)
    assert back.stride() == feature_map.stride()


def test_row_major_strides_of_one_channel():
    rows = torch.arange(2 * 3 * 5).reshape(2, 3, 5)
    image = rows[..., None].permute(0, 3, 1, 2)
    assert image.is_contiguous()
    assert image.stride() == (15, 1, 5, 1)
    assert nchw(image).stride() == (15, 15, 5, 1)
    assert torch.equal(nchw(image)[:, 0], rows)
    assert nchw(image).data_ptr() == rows.data_ptr()


def test_learned_tokens_have_unit_norm_on_average():
    tokens = learned_tokens(400, 256)
    assert tokens.requires_grad
    assert tokens.shape == (400, 256)
    assert tokens.norm(dim=1).mean().item() == pytest.approx(1, abs=0.01)
