from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from tokzoo import Decoded, Encoded, HiddenSpec, ImageSpec, Pass, Progress, Refusal
from tokzoo.contracts.errors import TokzooError
from tokzoo_losses.configs import ProjectionConfig
from tokzoo_losses.semantic import SemanticAlignment, make_projection

HEADS = [f"projection.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]


def use(**fields):
    return {"use": "semantic", "teacher": {"use": "test/patches", **fields.pop("teacher", {})}, **fields}


def state_of(images, hidden):
    return Pass(None, images, None, Progress(0, 1), Encoded(images), decoded=Decoded(images, hidden))


@pytest.fixture
def make(make_chain):
    """A function from fields to the regularizer, built for the tiny tokenizer."""

    def build(**fields):
        recipe, chain = make_chain(semantic=use(**fields))
        return SemanticAlignment(recipe.regularizers["semantic"].config, chain)

    return build


def test_golden_terms(golden, make):
    """The published code's term, from its own projection's weights where the stream before it is stored."""
    header, tensors = golden
    regularizer = make(tap=2)
    regularizer.teacher.forward = lambda images: tensors["in.teacher"]
    stored = [tensors["train.rot0.proj"].item(), tensors["train.rot1.proj"].item()]
    if "eval.dec_feat" in tensors:
        projection = make_projection(ProjectionConfig(), header["width"], header["out_inner_dim"])
        prefix = "w.s1to2decoder.distill_mlp."
        projection.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        regularizer.projection, hidden = projection, tensors["eval.dec_feat"]
        torch.testing.assert_close(projection(hidden), tensors["eval.inner_feat"], atol=1e-5, rtol=0)
    else:
        regularizer.projection, hidden = nn.Identity(), tensors["eval.inner_feat"]
    ours = regularizer.terms(state_of(tensors["in.x"], {2: hidden}))[""].item()
    assert ours == pytest.approx(stored[0], abs=1e-6)
    assert ours == pytest.approx(stored[1], abs=1e-6)


def test_a_head_that_copies_the_teacher_gives_minus_one(make, images):
    regularizer = make()
    regularizer.projection = nn.Identity()
    with torch.no_grad():
        features = regularizer.teacher(images)
    for factor, wanted in ((3.0, -1.0), (-0.1, 1.0)):
        term = regularizer.terms(state_of(images, {3: features * factor}))[""]
        torch.testing.assert_close(term, torch.tensor(wanted))


def test_no_gradient_through_the_teacher(make, images):
    regularizer, target = make(), images.clone().requires_grad_()
    regularizer.terms(state_of(target, {3: torch.randn(2, 16, 8)}))[""].backward()
    assert target.grad is None
    assert regularizer.projection[0].weight.grad is not None


def test_only_the_projection_is_saved_trained_and_loaded(make):
    regularizer = make()
    assert list(regularizer.state_dict()) == HEADS
    assert [name for name, _ in regularizer.named_parameters()] == HEADS
    assert not list(regularizer.buffers())
    other = make()
    other.load_state_dict(regularizer.state_dict(), strict=True)
    assert torch.equal(other.projection[4].weight, regularizer.projection[4].weight)


def test_the_teacher_moves_along_and_stays_frozen(make_objective):
    objective = make_objective(semantic=use())
    teacher = objective.by_role["semantic"].teacher
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    objective.double()
    assert {t.dtype for t in (teacher.patches.weight, teacher.norm.running_mean)} == {torch.float64}
    objective.to("meta")
    assert {p.device.type for p in teacher.parameters()} == {"meta"}
    assert teacher.norm.running_mean.device.type == "meta"
    assert not [name for name in objective.state_dict() if "teacher" in name or "patches" in name]


def test_gradients_reach_what_comes_before_the_tap(make_objective, images):
    objective = make_objective(semantic=use(tap=2, weight=0.25))
    losses = objective(images, None, Progress(0, 1))
    rest = losses.terms["l2"] + sum(
        objective.tokenizer.quantizer.config.weight_of(name) * losses.terms[f"quantizer.{name}"]
        for name in losses.state.quantized.losses
    )
    torch.testing.assert_close(losses.total.detach(), rest + 0.25 * losses.terms["semantic"])
    objective.by_role["semantic"].terms(losses.state)[""].backward()
    layers = objective.tokenizer.decoder.transformer.layers
    reached = [any(p.grad is not None for p in layer.parameters()) for layer in layers]
    assert reached == [True, True, False, False]
    assert all(p.grad.abs().sum() > 0 for p in objective.by_role["semantic"].projection.parameters())
    assert objective.tokenizer.encoder.projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in objective.by_role["semantic"].teacher.parameters())


@pytest.mark.parametrize("side", [2, 8])
def test_the_teachers_grid_is_interpolated_to_the_taps(make, images, side):
    regularizer = make(teacher={"shape": [side, side]})
    assert regularizer.grid == (4, 4)
    with torch.no_grad():
        features = regularizer.teacher(images).transpose(1, 2).unflatten(2, (side, side))
    if side == 8:  # between the middles of two tokens each way: their mean
        wanted = F.avg_pool2d(features, 2)
    else:
        rows = torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
        wanted = torch.einsum("ij,bcjk,lk->bcil", rows, features, rows)
    torch.testing.assert_close(regularizer._wanted(state_of(images, {})), wanted.flatten(2).transpose(1, 2))


def test_what_is_drawn_for_the_teacher_changes_no_other_start(make):
    starts = []
    for depth in (1, 3):
        torch.manual_seed(0)
        starts.append(make(teacher={"depth": depth}).projection[0].weight)
    assert torch.equal(*starts)


def test_projection_of_other_shapes():
    head = make_projection(ProjectionConfig(layers=2, expansion=3, activation="gelu"), 8, 5)
    assert [type(part) for part in head] == [nn.Linear, nn.GELU, nn.Linear]
    assert head[0].weight.shape == (24, 8)
    assert head[2].weight.shape == (5, 24)
    assert [type(part) for part in make_projection(ProjectionConfig(layers=1), 8, 5)] == [nn.Linear]
    torch.manual_seed(0)
    wide = make_projection(ProjectionConfig(), 128, 64)
    assert wide[2].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert make_projection(ProjectionConfig(init_std=None), 128, 64)[2].weight.std().item() == pytest.approx(
        512**-0.5, rel=0.02
    )
    assert not wide[0].bias.any()


def test_full_precision_in_the_cosine_under_autocast(make, images):
    regularizer, hidden = make(), {3: torch.randn(2, 16, 8)}
    exact = regularizer.terms(state_of(images, hidden))[""]
    with torch.autocast("cpu", torch.bfloat16):
        rough = regularizer.terms(state_of(images, hidden))[""]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=2e-2, rtol=0)


def test_no_grid_is_refused(make_config, make_chain):
    config = make_config(**use())
    _, chain = make_chain(semantic=use())
    config.accepts(chain)
    with pytest.raises(Refusal, match="tap 3 serves 16 tokens that form no grid"):
        config.accepts(replace(chain, hidden={3: HiddenSpec((16,), 8)}))
    with pytest.raises(Refusal, match="teacher 'test/patches' serves 5 tokens that form no grid"):
        make_config(**use(teacher={"shape": [5]})).accepts(chain)


def test_the_solver_says_what_does_not_fit(make_chain):
    with pytest.raises(Refusal, match=r"decoder → regularizers.semantic: .* 4 transformer layers.*not 9"):
        make_chain(semantic=use(tap=9))
    with pytest.raises(Refusal, match=r"tokenizer → regularizers.semantic: .* sees colours only"):
        make_chain(semantic=use(), image=ImageSpec(1, (16, 16)))


def test_named_taps_serve_too(make):
    assert make(tap="map").projection[0].in_features == 12


def test_defaults_and_bad_values(make_config):
    config = make_config(**use())
    assert (config.weight, config.tap, config.taps()) == (0.5, 3, (3,))
    with pytest.raises(TokzooError, match="teacher"):
        make_config("semantic")
    with pytest.raises(TokzooError, match="tap"):
        make_config(**use(tap=0))
    with pytest.raises(ValidationError):
        ProjectionConfig(layers=0)
