import pytest
import torch

from tokzoo_teachers.fashion import views
from tokzoo_teachers.fashion.train import TEMPERATURE, contrast
from tokzoo_teachers.fashion.views import View, random_view, shared_places


@pytest.fixture
def waves():
    """Smooth images of places: each pixel is a function of its x and y, of another one in each image."""
    centres = (torch.arange(32) + 0.5) / 16 - 1
    x, y = centres[None, :].expand(32, 32), centres[:, None].expand(32, 32)
    return x, y, torch.stack([torch.sin(2 * x + k) * torch.cos(1.5 * y - k) for k in range(64)])[:, None]


@pytest.fixture
def plain(monkeypatch):
    """Views that only crop and mirror."""
    monkeypatch.setattr(views, "_relight", lambda images: images)
    monkeypatch.setattr(views, "_cover", lambda images: images)


def test_a_view_says_of_a_place_what_the_image_shows_there(waves, plain):
    torch.manual_seed(0)
    images = waves[2]
    first, second = random_view(images), random_view(images)
    places = shared_places(first, second, 50)
    values = [view.at(view.images, places) for view in (first, second)]
    k = torch.arange(64)[:, None]
    expected = (torch.sin(2 * places[..., 0] + k) * torch.cos(1.5 * places[..., 1] - k))[..., None]
    inside = (places.abs() < 0.9).all(dim=2)
    for view, value in zip((first, second), values, strict=True):
        shown = ((places - view.shift[:, None]) / view.scale[:, None]).abs()
        assert shown.max() <= 1 + 1e-5
        # At its own border a view only repeats the centre of its outermost pixel.
        clear = inside & (shown < 0.9).all(dim=2)
        assert clear.float().mean() > 0.5
        torch.testing.assert_close(value[clear], expected[clear], atol=0.02, rtol=0)


def test_half_of_the_views_are_mirrored_and_all_lie_inside_the_image(plain):
    torch.manual_seed(0)
    view = random_view(torch.zeros(2000, 1, 32, 32))
    assert (view.scale[:, 0] < 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert (view.scale[:, 1] > 0).all()
    assert (view.scale.abs() + view.shift.abs()).max() <= 1 + 1e-5
    assert view.scale.abs().min() >= views.MIN_SCALE


def test_views_of_the_same_seed_are_the_same_and_of_another_are_not(waves):
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(random_view(waves[2]).images)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_a_patch_is_covered_and_the_rest_is_seen(waves, monkeypatch):
    monkeypatch.setattr(views, "_relight", lambda images: images)
    monkeypatch.setattr(views.F, "grid_sample", lambda images, grid, **options: images)
    torch.manual_seed(0)
    covered = (random_view(waves[2]).images != waves[2]).float().mean(dim=(1, 2, 3))
    assert covered.max() <= (17 / 32) ** 2
    assert 0.05 < covered.mean() < 0.15


def test_contrast_is_the_softmax_over_all_other_vectors():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 3, generator=generator).unbind(0)
    vectors = torch.cat([first, second])
    total = 0.0
    for i in range(10):
        similarity = [float(torch.cosine_similarity(vectors[i], other, dim=0)) / TEMPERATURE for other in vectors]
        weights = torch.tensor([similarity[j] for j in range(10) if j != i]).exp().sum()
        total += float(weights.log()) - similarity[(i + 5) % 10]
    assert float(contrast(first, second)) == pytest.approx(total / 10, rel=1e-5)


def test_a_place_of_a_mirrored_view_is_found_from_the_other_side():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    view = View(maps, torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2))
    corners = torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]])
    assert view.at(maps, corners).flatten().tolist() == [2.0, 1.0, 4.0, 3.0]
