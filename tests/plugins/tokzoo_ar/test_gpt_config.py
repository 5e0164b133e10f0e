import pytest
from pydantic import ValidationError

import tokzoo
from tokzoo.registry.component import load_config, load_target
from tokzoo_ar.configs import GPTConfig, GPTSampler
from tokzoo_ar.plugin import tokzoo_components

OWN = {"size": None, "layers": 4, "heads": 2, "width": 128}


@pytest.mark.parametrize(("size", "hidden"), [("B", 2048), ("L", 2816), ("XL", 3584), ("XXL", 4096), ("XXXL", 6912)])
def test_published_sizes(size, hidden):
    config = GPTConfig(size=size)
    assert config.ffn_width == hidden
    assert config.shape.width == 64 * config.shape.heads


def test_own_size():
    assert GPTConfig(**OWN).shape == (4, 2, 128)
    assert GPTConfig(**OWN).ffn_width == 512
    assert GPTConfig(**OWN, ffn_multiple=32).ffn_width == 352


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 4}, "size B already decides layers; set size to null"),
        ({"size": None, "layers": 4}, "heads, width must be given"),
        (OWN | {"heads": 3}, "width 128 is not divisible by 3 heads"),
        ({"size": "S"}, "'B', 'L'"),
        ({"drop_path": 1.0}, "less than 1"),
        ({"positions": "rope"}, "'learned', 'rotary'"),
        (OWN | {"width": 6, "positions": "rotary"}, "a head has 3; .* a multiple of 2"),
        (OWN | {"width": 12, "positions": "rotary-2d"}, "a head has 6; .* a multiple of 4"),
        ({"qknorm": True}, "qknorm"),
    ],
)
def test_wrong_configs(fields, message):
    with pytest.raises(ValidationError, match=message):
        GPTConfig(**fields)


def tokens(shape, *vocab, **options):
    codes = tokzoo.CodeSpec(shape, vocab, **options)
    return tokzoo.Tokens(codes, tokzoo.LatentSpec("sequence", (1,), 8), 1000)


def test_codes_of_several_levels_are_refused():
    config = GPTConfig()
    config.accepts(tokens((16, 16), 512))
    config.accepts(tokens((4,), 512, segments=((1, 1), (2, 2), (3, 3))))
    with pytest.raises(tokzoo.Refusal, match="2 levels"):
        config.accepts(tokens((16,), 512, 512))


def test_what_no_head_is_made_for_is_refused():
    refused = {
        "68,719,476,736 codes": tokens((16,), 2**36),
        "one for each": tokens((2,), 16, 32, vocab_by="position"),
        "is continuous": tokzoo.Tokens(None, tokzoo.LatentSpec("sequence", (1,), 8), 1000),
    }
    for message, learned in refused.items():
        with pytest.raises(tokzoo.Refusal, match=message):
            GPTConfig().accepts(learned)


def test_codes_without_rows_and_columns_are_refused_by_2d_positions_alone():
    config = GPTConfig(positions="rotary-2d")
    config.accepts(tokens((16, 8), 512))
    for learned in (tokens((256,), 512), tokens((4, 4), 512, segments=((1, 1), (2, 2), (4, 4)))):
        with pytest.raises(tokzoo.Refusal, match="set positions to rotary or learned"):
            config.accepts(learned)
        GPTConfig(positions="rotary").accepts(learned)
        GPTConfig().accepts(learned)


def test_a_sampler_can_be_checked_before_any_weight_exists():
    GPTSampler(cfg=2).accepts(10)
    GPTSampler(cfg=1).accepts(None)
    with pytest.raises(tokzoo.Refusal, match="no classes"):
        GPTSampler(cfg=1.5).accepts(None)


@pytest.mark.parametrize(
    "fields", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"cfg": -1}, {"cfg_scale": 2}]
)
def test_wrong_samplers(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        GPTSampler(**fields)


def test_registration():
    (spec,) = tokzoo_components()
    spec.check()
    assert (spec.kind, spec.name, load_config(spec)) == ("ar", "gpt", GPTConfig)
    assert issubclass(load_target(spec), tokzoo.ARModel)
