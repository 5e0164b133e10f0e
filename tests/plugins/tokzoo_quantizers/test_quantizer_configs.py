import pytest
from pydantic import ValidationError

from tokzoo import LatentSpec, Quantizer, Refusal
from tokzoo.registry.component import load_target
from tokzoo_quantizers.configs import FSQConfig, VQConfig
from tokzoo_quantizers.plugin import tokzoo_components


def test_components_are_well_formed_and_loadable():
    components = {spec.name: spec for spec in tokzoo_components()}
    assert set(components) == {"vq", "fsq"}
    for spec in components.values():
        spec.check()
        assert issubclass(load_target(spec), Quantizer)


def test_shapes():
    grid = LatentSpec("grid", (4, 6), 8)
    config = VQConfig(codes=100, dim=8)
    assert config.wants("grid") == 8
    assert config.code_spec(grid).batch_shape(2) == (2, 24)
    assert config.code_spec(grid).vocab == (100,)
    assert config.hands_on(grid) == grid
    fsq = FSQConfig(levels=(7, 5, 4))
    assert fsq.wants("sequence") == 3
    assert fsq.code_spec(LatentSpec("sequence", (9,), 3)).vocab == (140,)


@pytest.mark.parametrize("config", [VQConfig(dim=8), FSQConfig()])
def test_a_latent_of_other_width_is_refused(config):
    with pytest.raises(Refusal, match="the latent has 5"):
        config.code_spec(LatentSpec("grid", (4, 4), 5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kmeans": True}, "set warmup to 1 or more"),
        ({"kmeans": True, "warmup": 0.0}, "set warmup to 1 or more"),
        ({"warmup": 1.5}, "write a number of steps as an integer"),
        ({"warmup": -1}, "greater than or equal to 0"),
        ({"revive": {"threshold": 2}}, "less than 1"),
        ({"revive": {"decay": 1.0}}, "less than 1"),
        ({"codes": 1}, "greater than or equal to 2"),
        ({"codez": 1}, "Extra inputs"),
    ],
)
def test_wrong_vq_configs(fields, message):
    with pytest.raises(ValidationError, match=message):
        VQConfig(**fields)


@pytest.mark.parametrize(
    ("levels", "message"), [((8, 1), "at least 2 levels"), ((), "at least 1 item"), ((8,) * 9, "too many")]
)
def test_wrong_levels(levels, message):
    with pytest.raises(ValidationError, match=message):
        FSQConfig(levels=levels)


def test_weights_of_the_losses():
    config = VQConfig(commitment=0.5, codebook_weight=2)
    assert (config.weight_of("commitment"), config.weight_of("codebook")) == (0.5, 2)
