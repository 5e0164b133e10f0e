import pytest
import torch

from tokzoo.nn.sampling import draw, filtered_probabilities, guide, seeded_uniforms, top_k_filter, top_p_filter


def kept(filtered):
    return filtered.isfinite().tolist()


def test_guidance_extrapolates_from_unconditional_to_conditional():
    conditional, unconditional = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])
    assert torch.equal(guide(conditional, unconditional, 2.5), torch.tensor([6.0, -1.5]))
    assert torch.equal(guide(conditional, unconditional, 0.0), unconditional)
    assert guide(conditional, unconditional, 1.0) is conditional


def test_top_k_keeps_ties_with_the_last_one():
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]])
    assert kept(top_k_filter(logits, 2)) == [[False, True, True, True, False]]
    assert kept(top_k_filter(logits, 1)) == [[False, True, False, False, False]]


@pytest.mark.parametrize("k", [0, 5, 9])
def test_top_k_of_nothing_or_everything_keeps_all(k):
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]])
    assert torch.equal(top_k_filter(logits, k), logits)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.05, [False, True, False, False]),
        (0.55, [False, True, True, False]),
        (0.75, [False, True, True, False]),
        (0.85, [True, True, True, False]),
        (1.0, [True, True, True, True]),
    ],
)
def test_top_p_keeps_the_code_that_crosses(p, expected):
    logits = torch.tensor([[0.15, 0.5, 0.3, 0.05]]).log()
    filtered = top_p_filter(logits, p)
    assert kept(filtered) == [expected]
    assert torch.equal(filtered[filtered.isfinite()], logits[filtered.isfinite()])


def test_top_p_looks_at_what_top_k_left():
    # Of 0.4, 0.3, 0.2, 0.1 top-k 2 leaves 0.57 and 0.43: p 0.5 then needs the first alone, but 0.4 of all would not do.
    probabilities = filtered_probabilities(torch.tensor([0.4, 0.3, 0.2, 0.1]).log(), 1.0, 2, 0.5)
    torch.testing.assert_close(probabilities, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))


def test_temperature_sharpens():
    logits = torch.tensor([0.0, 1.0])
    expected = (logits.double() / 0.5).softmax(-1)
    torch.testing.assert_close(filtered_probabilities(logits, 0.5, 0, 1.0), expected)


def test_uniforms_depend_on_their_own_seed_alone():
    together = seeded_uniforms([7, 8, -1], 5)
    assert together.dtype == torch.float64
    assert together.shape == (3, 5)
    for row, seed in zip(together, [7, 8, -1], strict=True):
        assert torch.equal(row, seeded_uniforms([seed], 5)[0])
    # Fixed for ever: published samples are named by their seeds.
    assert together[0, :2].tolist() == [0.625095466604667, 0.8972138009695755]


def test_uniforms_of_a_longer_draw_begin_alike():
    assert torch.equal(seeded_uniforms([3], 9)[:, :4], seeded_uniforms([3], 4))


def test_uniforms_tell_all_64_bits_of_a_seed_apart():
    assert seeded_uniforms([5, 5 + 2**32, 5 + 2**62], 1).unique().numel() == 3


def test_uniforms_are_uniform_across_consecutive_seeds():
    numbers = seeded_uniforms(range(20000), 2)
    assert ((numbers >= 0) & (numbers < 1)).all()
    counts = torch.histc(numbers[:, 0].float(), bins=20, min=0, max=1)
    assert ((counts - 1000).square().sum() / 1000) < 45  # chi-square, 19 degrees of freedom: p < 0.001
    assert torch.corrcoef(numbers.T)[0, 1].abs() < 0.03


def test_draw_inverts_the_cumulative_distribution():
    probabilities = torch.tensor([[0.25, 0.0, 0.5, 0.25]], dtype=torch.float64).expand(5, -1)
    uniforms = torch.tensor([0.0, 0.2499, 0.25, 0.74, 0.75], dtype=torch.float64)
    assert draw(probabilities, uniforms).tolist() == [0, 0, 2, 2, 3]


def test_draw_never_takes_a_code_of_probability_zero():
    almost_one = 1 - 2.0**-53
    probabilities = torch.tensor([[0.0, 0.1, 0.2, 0.0], [0.0, 0.7, 0.3, 0.0]], dtype=torch.float64)
    for total in (1.0, 1 + 2.0**-52, 1 - 2.0**-53, 3.0):
        scaled = probabilities * total
        assert draw(scaled, torch.full((2,), almost_one, dtype=torch.float64)).tolist() == [2, 2]
        assert draw(scaled, torch.zeros(2, dtype=torch.float64)).tolist() == [1, 1]
