"""What the package registers, and its recipes."""

import pytest
import yaml

from tokzoo import ImageSpec
from tokzoo.contracts.interfaces import INTERFACES
from tokzoo.registry.component import load_config, load_target
from tokzoo_gigatok import plugin

SPECS = {(spec.kind, spec.name): spec for spec in plugin.tokzoo_components()}
IMAGE = ImageSpec(1, (32, 32))


def test_targets_are_components_of_their_kind():
    assert len(SPECS) == 4
    for spec in SPECS.values():
        spec.check()
        assert spec.paper == "arXiv 2504.08736"
        assert issubclass(load_target(spec), INTERFACES[spec.kind])


@pytest.mark.parametrize("name", ["gigatok-2d-nano", "gigatok-1d-nano"])
def test_nano_recipes_fit_together_and_stay_small(name):
    recipe = yaml.safe_load((plugin.tokzoo_recipes() / f"{name}.yaml").read_text())
    assert recipe["name"] == name
    parts = {kind: dict(recipe[kind]) for kind in ("encoder", "decoder")}
    specs = {kind: SPECS[kind, part.pop("use")] for kind, part in parts.items()}
    configs = {kind: load_config(spec)(**parts[kind]) for kind, spec in specs.items()}
    latent = configs["encoder"].latent_spec(IMAGE, recipe["quantizer"]["dim"])
    assert latent.positions == 16
    configs["decoder"].accepts(latent, IMAGE)
    configs["decoder"].accepts_feature_map(configs["encoder"].feature_map_spec(IMAGE), IMAGE)
    encoder = load_target(specs["encoder"])(configs["encoder"], IMAGE, latent)
    decoder = load_target(specs["decoder"])(configs["decoder"], latent, IMAGE)
    assert sum(p.numel() for module in (encoder, decoder) for p in module.parameters()) < 550_000
