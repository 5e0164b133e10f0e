import pytest
import torch

from tokzoo import Decoded, Encoded, ImageSpec, Pass, Progress, Refusal, View
from tokzoo_losses.feature import FeatureDistance

FEATURE = {"use": "feature", "teacher": {"use": "test/patches"}}


@pytest.fixture
def term(make_chain):
    torch.manual_seed(0)
    recipe, chain = make_chain(feature=FEATURE)
    return FeatureDistance(recipe.regularizers["feature"].config, chain)


def test_the_formula(term, images):
    other = images.flip(0)
    with torch.no_grad():
        ours, theirs = term.teacher(other), term.teacher(images)
    cosine = (ours * theirs).sum(-1) / ours.norm(dim=-1) / theirs.norm(dim=-1)
    torch.testing.assert_close(term.distance(other, images), (2 * (1 - cosine) / 6).mean())
    assert term.distance(images, images) == 0


def test_opposite_features_are_farthest(term, images):
    term.teacher.forward = lambda pixels: pixels.flatten(2).transpose(1, 2)
    torch.testing.assert_close(term.distance(-3 * images, images), torch.tensor(4 / 3))


def test_gradients_pass_to_the_reconstruction_alone(term, images):
    ours, target = images.flip(0).requires_grad_(), images.clone().requires_grad_()
    term.distance(ours, target).backward()
    assert ours.grad.abs().sum() > 0
    assert target.grad is None
    assert all(p.grad is None for p in term.teacher.parameters())


def test_the_gradient_is_that_of_the_formula(term, images):
    term.double()
    ours = images.flip(0).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: term.distance(x, images.double()), ours, fast_mode=True)


def test_the_teacher_is_never_in_training_mode(make_objective, images):
    objective = make_objective(feature=FEATURE)
    teacher = objective.by_role["feature"].teacher
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    assert objective.training
    first, second = (objective(images, None, Progress(0, 1)).terms["feature"] for _ in range(2))
    assert first == second
    assert not teacher.training
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_training_on_it_moves_the_tokenizer(make_objective, images):
    objective = make_objective(feature={**FEATURE, "weight": 2.0})
    losses = objective(images, None, Progress(0, 1))
    assert losses.terms["feature"] > 0
    objective.by_role["feature"].terms(losses.state)[""].backward()
    assert objective.tokenizer.decoder.cnn.conv_out.weight.grad.abs().sum() > 0
    assert objective.tokenizer.encoder.cnn.conv_in.weight.grad.abs().sum() > 0


def test_nothing_of_the_teacher_is_saved_or_trained(term):
    assert not term.state_dict()
    assert not list(term.parameters())
    term.load_state_dict({}, strict=True)


def test_views(term, images):
    other = images.flip(0)
    views = {"main": View(Decoded(images), images), "shortcut": View(Decoded(other), images)}
    state = Pass(None, images, None, Progress(0, 1), Encoded(images), views=views)
    terms = term.terms(state)
    assert set(terms) == {"", "shortcut"}
    assert terms[""] == 0
    assert terms["shortcut"] == term.distance(other, images) > 0


def test_images_that_the_teacher_refuses(make_chain):
    with pytest.raises(Refusal, match=r"regularizers.feature: .* sees colours only"):
        make_chain(feature=FEATURE, image=ImageSpec(1, (16, 16)))
