import math

import pytest
import torch

from tokzoo import Diverged
from tokzoo.training.meter import Meter


def terms(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_means_over_the_steps_a_term_was_in():
    meter = Meter()
    meter.add(0, terms(a=1.0, b=2.0))
    meter.add(1, terms(a=2.0))
    meter.add(1, {"half": torch.tensor(0.5, dtype=torch.bfloat16), "learned": torch.tensor(4.0, requires_grad=True)})
    assert meter.read() == {"a": 1.5, "b": 2.0, "half": 0.5, "learned": 4.0}
    meter.add(2, terms(a=7.0))
    assert meter.read() == {"a": 7.0}


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_names_what_broke_first(broken):
    meter = Meter()
    meter.add(6, terms(l1=1.0, entropy=1.0, loss=1.0, grad_norm=1.0))
    meter.add(7, {**terms(l1=1.0, entropy=broken, loss=broken, grad_norm=broken)})
    meter.add(7, {"gan.adversary": torch.tensor(1.0), "gan.adversary.grad_norm": torch.tensor(broken)})
    meter.add(8, terms(l1=broken, entropy=broken, loss=broken, grad_norm=broken))
    with pytest.raises(Diverged, match=r"^entropy became non-finite at step 7 \(counted from 0\); try"):
        meter.read()


def test_names_the_gradient_where_no_term_broke():
    meter = Meter()
    meter.add(3, terms(l1=1.0, loss=1.0, grad_norm=math.inf))
    with pytest.raises(Diverged, match=r"^grad_norm became non-finite at step 3 "):
        meter.read()
