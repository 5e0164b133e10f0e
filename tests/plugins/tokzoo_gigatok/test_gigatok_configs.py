"""What the configs refuse, and in which words; what they promise."""

import pytest
from pydantic import ValidationError

from tokzoo import FeatureMapSpec, HiddenSpec, ImageSpec, LatentSpec, Refusal
from tokzoo_gigatok.configs import (
    QFormerDecoderConfig,
    QFormerEncoderConfig,
    ViTDecoderConfig,
    ViTEncoderConfig,
)

IMAGE = ImageSpec(1, (32, 32))
NANO = {
    "size": None,
    "width": 64,
    "layers": 2,
    "heads": 4,
    "channels": 8,
    "multipliers": [1, 1, 1, 2],
    "groups": 8,
    "map_channels": 32,
}
GRID = LatentSpec("grid", (4, 4), 8)
SEQUENCE = LatentSpec("sequence", (16,), 8)


def test_latents_have_the_channels_the_quantizer_wants():
    assert ViTEncoderConfig(**NANO).latent_spec(IMAGE, 8) == GRID
    assert QFormerEncoderConfig(**NANO, tokens=16).latent_spec(IMAGE, 8) == SEQUENCE
    assert ViTEncoderConfig(**NANO).latent_spec(IMAGE, None).channels == 32


def test_published_sizes():
    config = ViTEncoderConfig(size="large")
    assert config.dimensions == (1024, 24, 16)
    assert config.latent_spec(ImageSpec(3, (256, 256)), 8) == LatentSpec("grid", (16, 16), 8)


def test_images_need_not_be_square():
    image = ImageSpec(3, (16, 64))
    assert ViTEncoderConfig(**NANO).latent_spec(image, 8).shape == (2, 8)
    assert ViTEncoderConfig(**NANO).feature_map_spec(image) == FeatureMapSpec(32, (2, 8))
    assert ViTDecoderConfig(**NANO).hidden_spec(1, GRID, image) == HiddenSpec((2, 8), 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": "small"}, "size 'small' fixes width, layers and heads: write size: null"),
        ({"layers": None}, "size: null needs width, layers and heads; or choose a size of tiny, small"),
        ({"heads": 5}, "width 64 is not a multiple of heads 5"),
        ({"groups": 32}, "a CNN level of 8 channels cannot be normed in 32 groups"),
        ({"multipliers": []}, "multipliers"),
        ({"multipliers": [1, 0]}, "multipliers"),
        ({"tokens": 12}, "tokens 12: multi-level queries come in groups of 1, 1, 2, 4, 8"),
        ({"tokens": 1}, "tokens 1: multi-level"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        QFormerEncoderConfig(**{**NANO, "tokens": 16, **change})


def test_any_number_of_tokens_without_levels():
    for queries in ("learned", "mean"):
        config = QFormerEncoderConfig(**NANO, tokens=11, queries=queries)
        assert config.latent_spec(IMAGE, 8).positions == 11


def test_levels_of_queries_double_columns_first():
    blocks = QFormerEncoderConfig(**NANO, tokens=32).query_blocks
    assert blocks == ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4))
    assert sum(rows * columns for rows, columns in blocks) == 32


def test_queries_finer_than_the_map_are_refused():
    with pytest.raises(Refusal, match=r"64 multi-level queries from 4×8 blocks.*do not divide a map of 4×4"):
        QFormerEncoderConfig(**NANO, tokens=64).latent_spec(IMAGE, 8)


@pytest.mark.parametrize("side", [30, 12])
def test_sides_that_cannot_be_halved_are_refused(side):
    image = ImageSpec(1, (32, side))
    words = f"halves images 3 times, so their sides must be multiples of 8, not 32×{side}"
    with pytest.raises(Refusal, match=words):
        ViTEncoderConfig(**NANO).latent_spec(image, 8)
    with pytest.raises(Refusal, match=words):
        QFormerDecoderConfig(**NANO).accepts(SEQUENCE, image)


def test_a_map_of_one_place_cannot_be_decoded():
    for config, latent in ((ViTDecoderConfig, LatentSpec("grid", (1, 1), 8)), (QFormerDecoderConfig, SEQUENCE)):
        with pytest.raises(Refusal, match="map of 1×1"):
            config(**NANO).accepts(latent, ImageSpec(1, (8, 8)))


def test_decoders_refuse_the_other_layout():
    ViTDecoderConfig(**NANO).accepts(GRID, IMAGE)
    QFormerDecoderConfig(**NANO).accepts(SEQUENCE, IMAGE)
    with pytest.raises(Refusal, match="wants a 4×4 grid, not a sequence of 16"):
        ViTDecoderConfig(**NANO).accepts(SEQUENCE, IMAGE)
    with pytest.raises(Refusal, match="wants a 4×4 grid, not a 8×2 grid"):
        ViTDecoderConfig(**NANO).accepts(LatentSpec("grid", (8, 2), 8), IMAGE)
    with pytest.raises(Refusal, match="wants a sequence, not a 4×4 grid"):
        QFormerDecoderConfig(**NANO).accepts(GRID, IMAGE)


def test_feature_maps_must_be_what_the_cnn_reads():
    config = ViTDecoderConfig(**NANO)
    config.accepts_feature_map(FeatureMapSpec(32, (4, 4)), IMAGE)
    with pytest.raises(Refusal, match=r"32×4×4 feature map directly, not a 16×4×4 feature map.*map_channels"):
        config.accepts_feature_map(FeatureMapSpec(16, (4, 4)), IMAGE)
    with pytest.raises(Refusal, match="not a 32×8×8 feature map"):
        config.accepts_feature_map(FeatureMapSpec(32, (8, 8)), IMAGE)


def test_taps():
    for config, latent in ((ViTDecoderConfig(**NANO), GRID), (QFormerDecoderConfig(**NANO), SEQUENCE)):
        assert config.hidden_spec(2, latent, IMAGE) == HiddenSpec((4, 4), 64)
        assert config.hidden_spec("map", latent, IMAGE) == HiddenSpec((4, 4), 32)
        for tap in (0, 3, -1, "last"):
            with pytest.raises(Refusal, match=f"has 2 transformer layers: taps are 1 to 2 or 'map', not {tap!r}"):
                config.hidden_spec(tap, latent, IMAGE)
