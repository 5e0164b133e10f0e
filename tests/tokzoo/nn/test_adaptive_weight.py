import pytest
import torch

import tokzoo
from tokzoo.nn.adaptive_weight import adaptive_weight


def test_the_ratio_of_gradient_norms():
    at = torch.tensor([1.0, 2.0], requires_grad=True)
    factor = adaptive_weight((3 * at).sum(), (at * torch.tensor([0.0, 2.0])).sum(), at, epsilon=0.5)
    assert factor.item() == pytest.approx(18**0.5 / 2.5)
    assert not factor.requires_grad


def test_its_bounds():
    at, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert adaptive_weight(at.sum(), other.sum(), at, largest=7.0) == 7
    assert adaptive_weight(other.sum(), at.sum(), at) == 0
    assert adaptive_weight(torch.ones(()), at.sum(), at) == 0  # of a constant


def test_a_frozen_parameter_has_no_gradient_to_compare():
    at = torch.ones(2)
    with pytest.raises(tokzoo.TokzooError, match="its part is frozen"):
        adaptive_weight(at.sum(), at.sum(), at)
