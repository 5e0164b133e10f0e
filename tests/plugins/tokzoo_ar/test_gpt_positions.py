"""Rotary positions in the GPT; that cached decoding agrees is among the variants of test_gpt.py."""

import pytest
import torch

import tokzoo
from tokzoo_ar.configs import GPTConfig
from tokzoo_ar.gpt import GPT

CODES = torch.tensor([[1, 2, 3, 4, 5, 6]])  # in two rows


def angles(model):
    """The angles ``[N, pairs]`` that the first block is told."""
    told = []
    hook = model.blocks[0].register_forward_pre_hook(lambda _, inputs: told.append(inputs[2]))
    model.logits(CODES, None)
    hook.remove()
    return torch.atan2(told[0].sin, told[0].cos)


@pytest.mark.parametrize("positions", ["rotary", "rotary-2d"])
@pytest.mark.parametrize("adaln", ["none", "full", "shared"])
def test_rotary_positions_are_no_parameters(positions, adaln):
    latent = tokzoo.LatentSpec("grid", (16, 16), 8)
    tokens = tokzoo.Tokens(tokzoo.CodeSpec(latent.shape, (16384,)), latent, 1000)
    with torch.device("meta"):
        learned, rotary = (
            dict(GPT(GPTConfig(positions=name, adaln=adaln), tokens).state_dict()) for name in ("learned", positions)
        )
    assert learned.pop("positions").shape == (257, 768)
    assert {name: value.shape for name, value in learned.items()} == {n: v.shape for n, v in rotary.items()}


def test_places_in_a_sequence(tiny_gpt):
    model = tiny_gpt(positions="rotary")  # heads of 8 channels
    expected = torch.arange(6.0)[:, None] * 10_000 ** (-torch.arange(4) / 4)
    torch.testing.assert_close(angles(model), torch.atan2(expected.sin(), expected.cos()))


def test_places_in_a_grid(tiny_gpt):
    """The start at the origin, codes from (1, 1) on; the last code is no input."""
    model = tiny_gpt(positions="rotary-2d")
    places = torch.tensor([[0, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2]])
    frequencies = torch.tensor([1.0, 0.01])
    expected = torch.cat([places[:, :1] * frequencies, places[:, 1:] * frequencies], dim=1)
    torch.testing.assert_close(angles(model), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("positions", ["rotary", "rotary-2d"])
@pytest.mark.parametrize("swap", [(0, 1), (0, 3)], ids=["in a row", "in a column"])
def test_the_order_of_codes_counts(tiny_gpt, positions, swap):
    """One block without positions would see no order: what it attends to is a set."""
    model, swapped = tiny_gpt(positions=positions, layers=1), CODES.clone()
    swapped[:, swap] = CODES[:, swap[::-1]]
    difference = (model.logits(CODES, None) - model.logits(swapped, None))[0, 5].abs().max()
    assert difference > 1e-3


def test_turned_after_the_norm_of_queries_and_keys(tiny_gpt):
    """Turned before, the norm's weights would multiply channels that stand for other angles at each position."""
    model = tiny_gpt(positions="rotary", qk_norm=True, heads=1, layers=1)
    attention = model.blocks[0].attention
    hidden = torch.randn(1, 1, 16).expand(1, 6, 16)
    seen = {}
    scaled_dot_product_attention = torch.nn.functional.scaled_dot_product_attention

    def keep(q, k, v, **options):
        seen["logits"] = q[0, 0] @ k[0, 0].T
        return scaled_dot_product_attention(q, k, v, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.nn.functional.scaled_dot_product_attention", keep)
        attention(hidden, None, model._rotation())
    for offset in range(6):
        diagonal = seen["logits"].diagonal(-offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-5)


def test_angles_do_not_follow_the_weights_to_half_precision(tiny_gpt):
    model = tiny_gpt(positions="rotary")
    expected = angles(model)
    assert torch.equal(angles(model.bfloat16()), expected)
