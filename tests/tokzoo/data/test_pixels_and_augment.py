import pytest
import torch

from tokzoo.data.augment import augment, variants
from tokzoo.data.config import Augmentation
from tokzoo.data.pixels import to_255, to_uint8, to_unit


def test_range_and_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    unit = to_unit(levels)
    assert unit.dtype == torch.float32
    assert unit.min() == -1
    assert unit.max() == 1
    assert torch.equal(to_uint8(unit), levels)
    torch.testing.assert_close(unit.flatten(), torch.linspace(-1, 1, 256))
    assert torch.equal(levels, torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16))  # not written to


def test_rounding():
    assert to_uint8(torch.tensor([-7.0, 7.0, 0.0])).tolist() == [0, 255, 128]  # 127.5 goes to the even 128
    level = 2 / 255
    values = torch.tensor([-1 + 0.49 * level, -1 + 0.51 * level, -1 + 1.51 * level])
    kept = values.clone()
    assert to_255(values).tolist() == [0, 1, 2]
    assert torch.equal(values, kept)
    assert to_255(torch.tensor([float("nan")])).isnan()


def images():
    return torch.randn(400, 1, 4, 6, generator=torch.Generator().manual_seed(0))


def test_flip_mirrors_about_half_of_the_images():
    x = images()
    torch.manual_seed(0)
    y = augment(x, Augmentation(flip=True))
    same = (y == x).flatten(1).all(1)
    mirrored = (y == x.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 140 < mirrored.sum() < 260


def test_views_come_from_the_global_generator():
    x, config = images(), Augmentation(flip=True)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(augment(x, config))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_no_augmentation_draws_nothing():
    before = torch.get_rng_state()
    x = images()
    assert augment(x, Augmentation()) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("flip", [False, True])
def test_variants_are_all_that_augment_can_give(flip):
    x, config = images(), Augmentation(flip=flip)
    views = {name: view(x) for name, view in variants(config).items()}
    assert list(views) == (["identity", "flip"] if flip else ["identity"])
    assert torch.equal(views["identity"], x)
    y = augment(x, config)
    seen = {name for name, view in views.items() for i in range(len(x)) if torch.equal(y[i], view[i])}
    assert seen == set(views)
    assert all(any(torch.equal(y[i], view[i]) for view in views.values()) for i in range(len(x)))
