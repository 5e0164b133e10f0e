import pytest
import torch

from tokzoo import Decoded, Encoded, Pass, Progress, Regularizer, View
from tokzoo.registry.component import load_target
from tokzoo_losses.configs import EntropyConfig, L1Config, L2Config
from tokzoo_losses.l1 import L1
from tokzoo_losses.l2 import L2
from tokzoo_losses.plugin import tokzoo_components


def make_pass(**views: tuple[float, float]) -> Pass:
    """Views of constant images: name = (reconstruction, target)."""
    images = torch.ones(2, 3, 4, 4)
    return Pass(
        tokenizer=None,
        images=images,
        labels=None,
        progress=Progress(0, 10),
        encoded=Encoded(torch.zeros(2, 4, 8)),
        views={name: View(Decoded(images * ours), images * target) for name, (ours, target) in views.items()},
    )


@pytest.mark.parametrize(("make", "config", "main", "direct"), [(L1, L1Config, 3, 1), (L2, L2Config, 9, 1)])
def test_distances_of_every_view(make, config, main, direct):
    terms = make(config(), chain=None).terms(make_pass(main=(2, -1), direct=(0, 1)))
    assert {name: float(term) for name, term in terms.items()} == {"": main, "direct": direct}
    chosen = make(config(views=("direct",)), chain=None).terms(make_pass(main=(2, -1), direct=(0, 1)))
    assert set(chosen) == {"direct"}


@pytest.mark.parametrize(("make", "config", "power"), [(L1, L1Config, 1), (L2, L2Config, 2)])
def test_mean_over_all_elements_in_float32(make, config, power):
    torch.manual_seed(0)
    ours, target = torch.randn(2, 3, 4, 4).bfloat16(), torch.randn(2, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        distance = make(config(), chain=None).distance(ours, target)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, (ours.float() - target).abs().pow(power).mean())


def test_components_are_well_formed_and_loadable():
    components = {spec.name: spec for spec in tokzoo_components()}
    names = {"l1", "l2", "lpips", "feature", "patchgan", "dinodisc", "semantic", "shortcut", "entropy"}
    assert set(components) == names
    for spec in components.values():
        spec.check()
        assert issubclass(load_target(spec), Regularizer)


def test_entropy_needs_an_assignment():
    assert EntropyConfig.requires == {"assignment"}
    with pytest.raises(ValueError, match="greater than 0"):
        EntropyConfig(temperature=0)
