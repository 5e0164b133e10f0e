"""Sizes: every published parameter has its place in ours, and the totals are the published ones."""

import csv

import pytest
from original_layout import DATA, make, our_key, same_shape

from tokzoo_gigatok.configs import SIZES

CODEBOOK = 16384 * 8


def released(encoder, decoder, two_d=False, layer_type=None):
    """The header of a published model at 256 pixels; encoder and decoder sizes differ, so each is made on its own."""
    common = {
        "ch": 128,
        "ch_mult": [1, 1, 2, 2, 4],
        "z_channels": 256,
        "image": 256,
        "num_latent_tokens": 256,
        "distill_depth": 3,
        "two_d": two_d,
        "layer_type": layer_type,
    }
    sides = [{**common, **SIZES[size]._asdict()} for size in (encoder, decoder)]
    return make(sides[0], "meta")[0], make(sides[1], "meta")[1]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def head(width):
    """Parameters of the distillation head of the published decoders, which ours leave to a regularizer."""
    return (width + 1) * 4 * width + (4 * width + 1) * 4 * width + (4 * width + 1) * 768


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("VQ_SS256", ("small", "small")),
        ("VQ_SS256_2d", ("small", "small", True, "TransformerDecoderLayer")),
        ("VQ_SB256_2d", ("small", "base", True, "TransformerLayer")),
    ],
)
def test_every_published_parameter_has_its_place(name, sizes):
    encoder, decoder = released(*sizes)
    ours = {("encoder", key): value for key, value in encoder.state_dict().items()}
    ours |= {("decoder", key): value for key, value in decoder.state_dict().items()}
    with (DATA / f"layout_{name}.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            place = our_key(row["key"])
            if place is not None:
                assert same_shape([int(n) for n in row["shape"].split("x")], ours.pop(place).shape), row["key"]
    assert not ours


@pytest.mark.parametrize(
    ("encoder", "decoder", "millions"),
    [("small", "small", 136.07), ("small", "base", 232.40), ("base", "large", 621.64), ("xl", "xxl", 2893.97)],
)
def test_totals_of_the_published_1d_models(encoder, decoder, millions):
    parts = released(encoder, decoder)
    total = sum(map(count, parts)) + head(SIZES[decoder].width) + CODEBOOK
    assert round(total / 1e6, 2) == millions


def test_head_of_the_small_decoder():
    assert head(512) == 6_820_608
