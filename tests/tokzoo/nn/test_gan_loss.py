import math

import pytest
import torch

from tokzoo.nn.gan_loss import discriminator_loss, generator_loss


def test_hinge_by_hand():
    real, fake = torch.tensor([[2.0, 0.5], [-1.0, 1.0]]), torch.tensor([[-3.0, 0.0], [0.5, -0.5]])
    # max(0, 1 - real) = 0, 0.5, 2, 0; max(0, 1 + fake) = 0, 1, 1.5, 0.5
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(0.5 * (2.5 / 4 + 3 / 4))
    assert generator_loss("hinge", fake).item() == pytest.approx(3 / 4)


def test_non_saturating_by_hand():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.0, 3.0])
    of_real = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    of_fake = (math.log(2) + math.log(1 + math.exp(3))) / 2
    assert discriminator_loss("non-saturating", real, fake).item() == pytest.approx(0.5 * (of_real + of_fake))
    wanted = (math.log(2) + math.log(1 + math.exp(-3))) / 2
    assert generator_loss("non-saturating", fake).item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["hinge", "non-saturating"])
def test_the_players_pull_the_same_logit_apart(kind):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    discriminator_loss(kind, real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    ours = torch.zeros(3, requires_grad=True)
    generator_loss(kind, ours).backward()
    assert (ours.grad < 0).all()


@pytest.mark.parametrize("kind", ["hinge", "non-saturating"])
def test_in_float32_and_finite_for_extreme_logits(kind):
    large = torch.tensor([-3e4, 3e4], dtype=torch.bfloat16)
    for loss in (discriminator_loss(kind, large, large), generator_loss(kind, large)):
        assert loss.dtype == torch.float32
        assert loss.isfinite()
