import pytest
import torch

from tokzoo.nn.lecam import LeCam


def test_the_first_step_by_hand():
    real, fake = torch.tensor([3.0, -1.0]), torch.tensor([0.0, 4.0])
    # Means 1 and 2: max(0, real - 2) = 1, 0 and max(0, 1 - fake) = 1, 0.
    assert LeCam(0.99)(real, fake).item() == pytest.approx(0.5 + 0.5)


def test_the_means_are_weighted_by_age_from_the_first_step_on():
    lecam = LeCam(0.75)
    steps = [(1.0, -2.0), (3.0, 0.5), (-1.0, 1.5)]
    for step, _ in enumerate(steps, start=1):
        real, fake = (torch.full((4,), value) for value in steps[step - 1])
        penalty = lecam(real, fake)
        weights = [0.75 ** (step - seen) for seen in range(1, step + 1)]
        real_mean, fake_mean = (
            sum(w * pair[kind] for w, pair in zip(weights, steps, strict=False)) / sum(weights) for kind in (0, 1)
        )
        wanted = max(0.0, steps[step - 1][0] - fake_mean) ** 2 + max(0.0, real_mean - steps[step - 1][1]) ** 2
        assert penalty.item() == pytest.approx(wanted, rel=1e-5)


def test_gradients_pass_to_the_logits_and_not_through_the_means():
    lecam = LeCam(0.0)  # the means are this step's own
    real, fake = torch.tensor([3.0, -1.0], requires_grad=True), torch.tensor([0.0, 4.0], requires_grad=True)
    lecam(real, fake).backward()
    torch.testing.assert_close(real.grad, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(fake.grad, torch.tensor([-1.0, 0.0]))


def test_the_means_are_kept_in_the_state():
    first, second = LeCam(0.9), LeCam(0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        first(*torch.randn(2, 5, generator=generator))
    second.load_state_dict(first.state_dict())
    logits = torch.randn(2, 5, generator=generator)
    assert torch.equal(first(*logits), second(*logits))
    assert second(*logits) != LeCam(0.9)(*logits)
