import pytest
import torch

from tokzoo.nn import nearest as module
from tokzoo.nn.nearest import distance_chunks, nearest


def brute_force(queries, codes):
    return torch.cdist(queries.double(), codes.double()).argmin(1)


@pytest.mark.parametrize("chunk", [1, 700, 1 << 20])
def test_agrees_with_brute_force_whatever_the_chunks(monkeypatch, chunk):
    torch.manual_seed(0)
    monkeypatch.setattr(module, "CPU_CHUNK", chunk)
    queries, codes = torch.randn(301, 5), torch.randn(97, 5)
    assert torch.equal(nearest(queries, codes), brute_force(queries, codes))


def test_the_first_of_equally_near_codes_wins():
    codes = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    queries = torch.tensor([[0.0, 0.0], [2.0, 0.0], [-3.0, 1.0]])
    assert nearest(queries, codes).tolist() == [1, 1, 2]


def test_chunks_stay_within_the_budget_and_cover_all_queries(monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK", 500)
    queries, codes = torch.randn(43, 3), torch.randn(60, 3)
    chunks = list(distance_chunks(queries, codes))
    assert all(distances.numel() <= 500 for _, distances in chunks)
    whole = torch.cat([distances for _, distances in chunks])
    torch.testing.assert_close(whole, torch.cdist(queries, codes).square())
    assert torch.cat([queries[here] for here, _ in chunks]).equal(queries)


def test_half_precision_and_autocast_do_not_coarsen_distances():
    # Codes this close together are one and the same in bfloat16.
    codes = torch.tensor([[1.0, 1.0], [1.003, 1.0]])
    queries = torch.tensor([[1.0025, 1.0]])
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest(queries, codes).tolist() == [1]
    assert nearest(torch.ones(1, 2, dtype=torch.bfloat16), codes).tolist() == [0]


def test_no_gradient_and_no_queries():
    codes = torch.randn(4, 2, requires_grad=True)
    indices = nearest(torch.randn(3, 2, requires_grad=True), codes)
    assert indices.dtype == torch.int64
    assert not indices.requires_grad
    assert nearest(torch.empty(0, 2), codes).shape == (0,)
