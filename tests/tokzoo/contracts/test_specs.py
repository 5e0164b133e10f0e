import pytest

from tokzoo.contracts.specs import CodeSpec, FeatureMapSpec, HiddenSpec, ImageSpec, LatentSpec


def test_specs_say_what_they_are():
    assert str(ImageSpec(3, (32, 48))) == "3×32×48 image"
    assert str(FeatureMapSpec(64, (4, 6))) == "64×4×6 feature map"
    assert str(LatentSpec("grid", (4, 6), 8)) == "8 channels in a 4×6 grid"
    assert str(LatentSpec("sequence", (24,), 8)) == "8 channels in a sequence of 24"
    assert str(CodeSpec((4, 6), (1024,))) == "4×6 codes of 1024"
    assert str(CodeSpec((4, 4), (16,), segments=((1, 1), (2, 2), (4, 4)))) == "21 codes of 16"


def test_positions_are_counted_over_the_whole_shape():
    assert LatentSpec("grid", (4, 6), 8).positions == 24
    assert HiddenSpec((2, 3, 5), 16).positions == 30


@pytest.mark.parametrize(
    ("codes", "positions", "tokens", "bits", "shape"),
    [
        (CodeSpec((4, 4), (1024,)), 16, 16, 160, (2, 16)),
        (CodeSpec((8,), (256, 256, 16)), 8, 24, 8 * 20, (2, 8, 3)),
        (CodeSpec((4, 4), (16,), segments=((1, 1), (2, 2), (4, 4))), 21, 21, 84, (2, 21)),
        (CodeSpec((8,), (1000,)), 8, 8, 79.72627427729671, (2, 8)),
    ],
)
def test_codes_are_counted_in_positions_levels_and_bits(codes, positions, tokens, bits, shape):
    assert codes.positions == positions
    assert codes.tokens == tokens
    assert codes.bits_per_image == pytest.approx(bits, rel=1e-12)
    assert codes.batch_shape(2) == shape
