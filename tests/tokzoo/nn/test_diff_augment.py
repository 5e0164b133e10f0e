import pytest
import torch

from tokzoo.nn.configs import DiffAugmentConfig
from tokzoo.nn.diff_augment import DRAWS, augmented, diff_augment

DEFAULT = DiffAugmentConfig()
NOTHING = {"translation": 0, "brightness": 0, "saturation": 0, "contrast": 0, "cutout": 0}


def only(**fields):
    return DiffAugmentConfig(**{**NOTHING, **fields})


def one_by_one(images, draws, config):
    """The same, image by image and pixel by pixel."""
    results = []
    for image, draw in zip(images, draws.T.tolist(), strict=True):
        height, width = image.shape[1:]
        moved = torch.zeros_like(image)
        farthest = round(config.translation * height), round(config.translation * width)
        shifts = [int(u * (2 * far + 1)) - far for u, far in zip(draw[:2], farthest, strict=True)]
        for y in range(height):
            for x in range(width):
                source = y + shifts[0], x + shifts[1]
                if 0 <= source[0] < height and 0 <= source[1] < width:
                    moved[:, y, x] = image[:, source[0], source[1]]
        moved = moved + (draw[2] - 0.5) * 2 * config.brightness
        grey = moved.mean(0, keepdim=True)
        moved = (moved - grey) * (1 + (2 * draw[3] - 1) * config.saturation) + grey
        moved = (moved - moved.mean()) * (1 + (2 * draw[4] - 1) * config.contrast) + moved.mean()
        sides = round(config.cutout * height), round(config.cutout * width)
        middle = [int(u * (n + 1 - side % 2)) for u, n, side in zip(draw[5:], (height, width), sides, strict=True)]
        for y in range(middle[0] - sides[0] // 2, middle[0] - sides[0] // 2 + sides[0]):
            for x in range(middle[1] - sides[1] // 2, middle[1] - sides[1] // 2 + sides[1]):
                if 0 <= y < height and 0 <= x < width:
                    moved[:, y, x] = 0
        results.append(moved)
    return torch.stack(results)


@pytest.mark.parametrize("shape", [(6, 3, 16, 16), (5, 1, 9, 14)])
@pytest.mark.parametrize(
    "config", [DEFAULT, DiffAugmentConfig(translation=0.4, brightness=1, saturation=0.3, contrast=2, cutout=0.5)]
)
def test_the_same_as_image_by_image(shape, config):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator) * 2 - 1
    draws = torch.rand(DRAWS, len(images), generator=generator)
    draws[:, 0], draws[:, 1] = 0.0, 1 - 2**-24  # the ends of every range
    torch.testing.assert_close(augmented(images, draws, config), one_by_one(images, draws, config))


def test_draws_are_the_global_generators_and_fresh_at_every_call():
    images = torch.rand(4, 3, 16, 16)
    torch.manual_seed(3)
    first, second = diff_augment(images, DEFAULT), diff_augment(images, DEFAULT)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(diff_augment(images, DEFAULT), first)
    torch.manual_seed(3)
    assert torch.equal(augmented(images, torch.rand(7, 4), DEFAULT), first)


def test_images_of_a_batch_are_changed_each_by_itself():
    image = torch.rand(1, 3, 16, 16)
    changed = diff_augment(image.expand(8, -1, -1, -1), DEFAULT)
    assert len({tuple(one.flatten().tolist()) for one in changed}) == 8


def test_no_change_is_no_change():
    images = torch.rand(4, 3, 16, 16)
    assert torch.equal(diff_augment(images, only()), images)


def test_shifts_reach_as_far_as_they_may_and_no_farther():
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8, 8] = 1
    torch.manual_seed(0)
    moved = diff_augment(image.expand(400, -1, -1, -1), only(translation=0.125)).flatten(1).argmax(1)
    assert {(int(at) // 16 - 8, int(at) % 16 - 8) for at in moved} == {
        (y, x) for y in range(-2, 3) for x in range(-2, 3)
    }


def test_the_box_is_whole_within_and_shrinks_at_the_border():
    torch.manual_seed(0)
    blank = (diff_augment(torch.ones(400, 1, 20, 20), only(cutout=0.25)) == 0).flatten(1).sum(1)
    assert set(blank.tolist()) == {3 * 3, 3 * 4, 3 * 5, 4 * 4, 4 * 5, 5 * 5}


def test_differentiable_in_the_images():
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    draws = torch.rand(DRAWS, 2)
    assert torch.autograd.gradcheck(lambda x: augmented(x, draws, DEFAULT), images)


def test_without_a_host_sync_and_in_float32():
    assert diff_augment(torch.rand(2, 3, 8, 8, device="meta"), DEFAULT).shape == (2, 3, 8, 8)  # .item() would raise
    with torch.autocast("cpu", torch.bfloat16):
        assert diff_augment(torch.rand(2, 3, 8, 8).bfloat16(), DEFAULT).dtype == torch.float32


def test_bad_values():
    for fields in ({"translation": 1.0}, {"cutout": 1.5}, {"brightness": -0.1}, {"colour": 1}):
        with pytest.raises(ValueError, match="validation error"):
            DiffAugmentConfig(**fields)
