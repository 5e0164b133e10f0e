import torch
import torch.nn.functional as F

from tokzoo.nn.kmeans import kmeans
from tokzoo.nn.nearest import nearest


def error(points, centres):
    return (points - centres[nearest(points, centres)]).square().mean()


def test_finds_separate_clusters():
    torch.manual_seed(1)
    truth = 10 * torch.eye(4)
    labels = torch.arange(400) % 4
    points = truth[labels] + 0.1 * torch.randn(400, 4)
    # From random starts two centres may share a cluster: the best of a few starts has all four.
    centres = min((kmeans(points, 4, spherical=False) for _ in range(20)), key=lambda found: error(points, found))
    means = torch.stack([points[labels == label].mean(0) for label in range(4)])
    torch.testing.assert_close(centres[nearest(means, centres)], means, atol=1e-5, rtol=1e-5)


def test_is_much_better_than_random_points():
    torch.manual_seed(0)
    points = torch.randn(64, 8)[torch.randint(64, (4096,))] + 0.1 * torch.randn(4096, 8)
    assert error(points, kmeans(points, 64, spherical=False)) < 0.7 * error(points, points[:64])


def test_spherical_centres_are_unit_vectors():
    torch.manual_seed(0)
    points = F.normalize(torch.randn(500, 8), dim=1)
    norms = kmeans(points, 16, spherical=True).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_every_centre_serves_a_point():
    torch.manual_seed(0)
    points = torch.cat([torch.randn(190, 4) * 1e-3, 5 + torch.randn(10, 4)])
    assert len(nearest(points, kmeans(points, 40, spherical=False)).unique()) >= 38


def test_empty_clusters_are_moved_to_points():
    torch.manual_seed(0)
    points = torch.cat([torch.full((190, 2), 5.0), 5 + torch.rand(10, 2)])  # most starts fall on the same place
    centres = kmeans(points, 10, spherical=False)
    assert torch.cdist(centres, points).amin(1).max() < 1
    assert len(nearest(points, centres).unique()) > 4


def test_as_many_clusters_as_points():
    points = torch.arange(6.0)[:, None]
    centres = kmeans(points, 6, spherical=False)
    torch.testing.assert_close(centres.sort(0).values, points, atol=1e-6, rtol=0)


def test_sums_do_not_depend_on_the_order_of_the_points(monkeypatch):
    """What makes a GPU's result reproducible: given the same start, shuffled points give the same bits."""
    torch.manual_seed(0)
    points = torch.randn(1000, 3)
    start = points[:8].clone()
    monkeypatch.setattr("tokzoo.nn.kmeans._random_points", lambda points, count: start)
    shuffled = points[torch.randperm(1000)]
    assert torch.equal(kmeans(points, 8, spherical=False), kmeans(shuffled, 8, spherical=False))
