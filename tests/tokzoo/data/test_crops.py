import pytest
import torch
from pydantic import ValidationError
from torchvision.transforms import functional as reference

from tokzoo.data.augment import ten_crop
from tokzoo.data.config import RandomCrop
from tokzoo.data.crops import central_crops, larger_for_ten_crops, random_crops


def test_sides_are_every_length_between_the_image_and_a_quarter_more():
    crops = random_crops(RandomCrop(), 5000, 256, seed=0)
    assert crops.size == 256
    assert sorted(set(crops.short.tolist())) == list(range(256, 321))
    assert crops.short.bincount(minlength=321)[256:].min() > 40  # 77 expected
    assert crops.at.shape == (5000, 2)
    assert crops.at.min() >= 0
    assert crops.at.max() <= 1
    assert (crops.at.mean(0) - 0.5).abs().max() < 0.02
    assert torch.corrcoef(torch.cat([crops.at.T, crops.short[None].double()])).triu(1).abs().max() < 0.05


@pytest.mark.parametrize(
    ("smallest", "size", "longest"), [(1.0, 32, 32), (0.5, 32, 64), (0.9, 32, 36), (0.8, 256, 320)]
)
def test_the_longest_side(smallest, size, longest):
    short = random_crops(RandomCrop(smallest=smallest), 3000, size, seed=0).short
    assert (short.min(), short.max()) == (size, longest)


def test_random_crops_depend_on_their_seed_alone():
    before = torch.get_rng_state()
    first, same, other = (random_crops(RandomCrop(), 8, 32, seed) for seed in (3, 3, 4))
    assert torch.equal(first.at, same.at)
    assert torch.equal(first.short, same.short)
    assert not torch.equal(first.at, other.at)
    assert torch.equal(torch.get_rng_state(), before)


def test_central_crops():
    crops = central_crops(3, 32)
    assert crops.size == 32
    assert crops.short.tolist() == [32] * 3
    assert crops.at.tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize(("size", "larger"), [(256, 281), (32, 35), (128, 140), (8, 8)])
def test_ten_crops_are_torchvision_s(size, larger):
    assert larger_for_ten_crops(size) == larger
    images = torch.randn(2, 1, larger, larger, generator=torch.Generator().manual_seed(0))
    found = [view(images) for view in ten_crop(size).values()]
    expected = reference.ten_crop(images, [size, size])
    assert len(found) == 10
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("smallest", [0, 1.01])
def test_parts_of_a_side(smallest):
    with pytest.raises(ValidationError, match="smallest"):
        RandomCrop(smallest=smallest)
