import itertools
import math

import pytest
import torch

from tokzoo.nn.rotary import Rotation, rotate, rotation


def places(*rows):
    return torch.tensor(rows)


def logits(q, k, positions):
    """Attention logits ``[T, T]`` of one query and one key vector, put at every position."""
    by = rotation(positions, q.shape[-1])
    return rotate(q.expand(len(positions), -1), by) @ rotate(k.expand(len(positions), -1), by).T


def test_pairs_turn_by_the_published_angles():
    """The paper's rotation, as a product of complex numbers."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    angles = torch.arange(5.0)[:, None] * torch.tensor([10_000.0 ** (-2 * i / 8) for i in range(4)])
    expected = torch.view_as_complex(x.unflatten(-1, (4, 2))) * torch.polar(torch.ones_like(angles), angles)
    turned = rotate(x, rotation(torch.arange(5)[:, None], 8))
    torch.testing.assert_close(turned, torch.view_as_real(expected).flatten(-2))


def test_each_axis_turns_its_own_half():
    torch.manual_seed(0)
    x, positions = torch.randn(3, 8), places((0, 0), (2, 5), (4, 1))
    turned = rotate(x, rotation(positions, 8))
    for axis, half in enumerate((slice(0, 4), slice(4, 8))):
        torch.testing.assert_close(turned[:, half], rotate(x[:, half], rotation(positions[:, axis, None], 4)))


def test_the_origin_is_not_turned():
    x = torch.randn(1, 8)
    assert torch.equal(rotate(x, rotation(places((0, 0)), 8)), x)


def test_logits_depend_on_offsets_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 16)
    line = logits(q, k, torch.arange(40)[:, None])
    for offset in (-7, 0, 1, 12):
        diagonal = line.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=0)
    torch.testing.assert_close(line[:10, :10], logits(q, k, 500 + torch.arange(10)[:, None]), atol=1e-3, rtol=0)


def test_logits_on_a_grid_depend_on_both_offsets_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 16)
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(5))
    here = logits(q, k, grid)
    torch.testing.assert_close(here, logits(q, k, grid + torch.tensor([3, 9])), atol=1e-4, rtol=0)
    seen = {}
    for i, (row, column) in enumerate(grid.tolist()):
        for j, (other_row, other_column) in enumerate(grid.tolist()):
            seen.setdefault((other_row - row, other_column - column), []).append(here[i, j].item())
    assert all(max(values) - min(values) < 1e-4 for values in seen.values())
    means = sorted(sum(values) / len(values) for values in seen.values())
    assert min(b - a for a, b in itertools.pairwise(means)) > 1e-5, "different offsets, different logits"


def test_lengths_stay():
    torch.manual_seed(0)
    x = torch.randn(9, 12)
    turned = rotate(x, rotation(torch.arange(9)[:, None], 12))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_half_precision_is_turned_in_float32():
    torch.manual_seed(0)
    x, by = torch.randn(300, 8).bfloat16(), rotation(torch.arange(300)[:, None], 8)
    turned = rotate(x, by)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rotate(x.float(), by).bfloat16())


def test_one_position_is_a_slice_of_all():
    by = rotation(torch.arange(6)[:, None], 4)
    one = by.at(slice(3, 4))
    assert isinstance(one, Rotation)
    assert one.cos.shape == (1, 2)
    assert one.sin[0, 0].item() == pytest.approx(math.sin(3))
