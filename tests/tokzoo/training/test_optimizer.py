import pytest
import torch
from torch import nn

from tokzoo import Overwritten, TokzooError
from tokzoo.recipes.optimization import Optimization, PartTraining
from tokzoo.training.optimizer import Optimizer
from tokzoo.training.task import Group


def update(optimizer, loss, rate):
    optimizer.zero()
    optimizer.add(loss)
    return optimizer.step(rate)


@pytest.fixture
def parameters():
    torch.manual_seed(0)
    shapes = {"matrix": (3, 2), "kernel": (2, 3, 3), "bias": (3,), "scale": ()}
    named = {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    return named | {"frozen": nn.Parameter(torch.randn(4), requires_grad=False)}


def test_adamw_by_hand(parameters):
    config = Optimization(lr=1.0, betas=(0.8, 0.9), weight_decay=0.1, decay="all", clip=None)
    optimizer = Optimizer(Group(parameters), config)
    weight = parameters["matrix"]
    p, m, v = weight.detach().double(), 0.0, 0.0
    for step, rate in enumerate([0.01, 0.02, 0.03], start=1):
        loss = (weight**2).sum() / step
        gradient = 2 * p / step
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        p = p - rate * 0.1 * p - rate * (m / (1 - 0.8**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-8)
        norm = update(optimizer, loss, rate)
        assert norm.item() == pytest.approx(gradient.norm().item(), rel=1e-5)
        torch.testing.assert_close(weight.detach(), p.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("decay", "decayed"), [("matrices", {"matrix", "kernel"}), ("all", {"matrix", "kernel", "bias", "scale"})]
)
def test_what_decays(parameters, decay, decayed):
    optimizer = Optimizer(Group(parameters), Optimization(weight_decay=0.5, decay=decay))
    before = {name: p.detach().clone() for name, p in parameters.items()}
    update(optimizer, sum((0 * p).sum() for p in parameters.values()), 0.1)  # no gradient: decay is all that moves
    for name, p in parameters.items():
        assert torch.allclose(p, before[name] * (0.95 if name in decayed else 1.0)), name


def test_clipping(parameters):
    optimizer = Optimizer(Group(parameters), Optimization(clip=0.5))
    norm = update(optimizer, 3 * parameters["matrix"].sum() + 4 * parameters["kernel"].sum(), 1e-3)
    assert norm.item() == pytest.approx((6 * 9 + 18 * 16) ** 0.5)
    total = sum(p.grad.square().sum() for p in parameters.values() if p.grad is not None).sqrt()
    assert total.item() == pytest.approx(0.5, rel=1e-4)
    assert parameters["kernel"].grad[0, 0, 0] / parameters["matrix"].grad[0, 0] == pytest.approx(4 / 3)


@pytest.mark.parametrize("clip", [None, 100.0])
def test_small_or_unclipped_gradients_stay(parameters, clip):
    optimizer = Optimizer(Group(parameters), Optimization(clip=clip))
    assert update(optimizer, 3 * parameters["bias"].sum(), 1e-3).item() == pytest.approx(27**0.5)
    assert parameters["bias"].grad.tolist() == [3.0, 3.0, 3.0]


def test_gradients_do_not_add_up(parameters):
    optimizer = Optimizer(Group(parameters), Optimization(clip=None))
    for _ in range(2):
        assert update(optimizer, parameters["scale"] * 2, 1e-3).item() == 2.0


def test_state_is_whole_from_the_start(parameters):
    optimizer = Optimizer(Group(parameters), Optimization())
    trained = parameters.keys() - {"frozen"}
    shapes = {name: tensor.shape for name, tensor in optimizer.state().items()}
    assert shapes.keys() == {f"{name}.{key}" for name in trained for key in ("step", "exp_avg", "exp_avg_sq")}
    assert not any(tensor.requires_grad for tensor in optimizer.state().values())
    update(optimizer, sum(p.sum() for p in parameters.values()), 0.1)
    assert {name: tensor.shape for name, tensor in optimizer.state().items()} == shapes
    assert optimizer.state()["bias.step"] == 1


def test_restart_forgets_the_overwritten_rows_alone(parameters):
    optimizer = Optimizer(Group(parameters), Optimization())
    update(optimizer, sum(p.sum() for p in parameters.values()), 0.1)
    before = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    optimizer.restart([Overwritten(parameters["kernel"], torch.tensor([False, True]))])
    for name, tensor in optimizer.state().items():
        if name in {"kernel.exp_avg", "kernel.exp_avg_sq"}:
            assert torch.equal(tensor[0], before[name][0])
            assert (tensor[0] > 0).all()
            assert (tensor[1] == 0).all()
        else:
            assert torch.equal(tensor, before[name])
    optimizer.restart([Overwritten(parameters["frozen"], torch.ones(4, dtype=torch.bool))])  # none of its own


def test_freeze(parameters):
    optimizer = Optimizer(Group(parameters), Optimization())
    optimizer.freeze(True)
    assert not any(p.requires_grad for p in parameters.values())
    optimizer.freeze(False)
    assert [name for name, p in parameters.items() if not p.requires_grad] == ["frozen"]


def test_parts_have_their_own_settings(parameters):
    settings = {"matrix": PartTraining(lr=0.2, weight_decay=0.0), "bias": PartTraining(betas=(0.5, 0.6))}
    optimizer = Optimizer(Group(parameters, settings=settings), Optimization(lr=0.1, weight_decay=0.5))
    groups = {id(p): group for group in optimizer.adamw.param_groups for p in group["params"]}
    matrix, bias, scale = (groups[id(parameters[name])] for name in ("matrix", "bias", "scale"))
    update(optimizer, sum((0 * p).sum() for p in parameters.values()), 0.05)
    assert (matrix["lr"], matrix["weight_decay"]) == (0.1, 0.0)
    assert (bias["lr"], bias["betas"], scale["betas"]) == (0.05, (0.5, 0.6), (0.9, 0.95))


def test_what_cannot_be_trained_is_an_error(parameters):
    frozen = {"frozen": parameters["frozen"]}
    with pytest.raises(TokzooError, match="every part is frozen"):
        Optimizer(Group(frozen), Optimization())
    optimizer = Optimizer(Group(parameters), Optimization())
    with pytest.raises(TokzooError, match="nothing is trained in this step"):
        optimizer.add(parameters["frozen"].sum())
