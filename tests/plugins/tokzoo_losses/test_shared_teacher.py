"""Equal teachers are one network, and it is asked about the images of a pass once."""

import pytest
import torch

from tokzoo import Decoded, Encoded, Pass, Progress, View
from tokzoo.assembly.build import build, build_teacher, shared_teachers
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.tokenizer import Tokenizer

TEACHER = {"use": "test/patches"}
SEMANTIC = {"use": "semantic", "teacher": TEACHER}
FEATURE = {"use": "feature", "teacher": TEACHER}


@pytest.fixture
def objective(make_objective):
    return make_objective(semantic=SEMANTIC, feature=FEATURE)


@pytest.fixture
def term(make_objective):
    return make_objective(feature=FEATURE).by_role["feature"]


def asked(teacher):
    """A list that grows with each batch the teacher sees: does a gradient pass to it?"""
    calls = []
    teacher.register_forward_hook(lambda module, args, output: calls.append(output.requires_grad))
    return calls


def step(objective, images):
    losses = objective(images, None, Progress(0, 1))
    losses.total.backward()
    return losses


def test_equal_teachers_are_one_network(objective, make_objective):
    players = objective.by_role
    assert players["semantic"].teacher is players["feature"].teacher
    other = make_objective(semantic=SEMANTIC, feature=FEATURE)
    assert other.by_role["feature"].teacher is not players["feature"].teacher


def test_other_teachers_are_others(make_objective):
    players = make_objective(semantic=SEMANTIC, feature={**FEATURE, "teacher": {**TEACHER, "dim": 5}}).by_role
    assert players["semantic"].teacher is not players["feature"].teacher
    assert players["feature"].teacher.config.dim == 5


def test_two_forwards_a_pass_instead_of_three(objective, images):
    calls = asked(objective.by_role["feature"].teacher)
    for _ in range(2):
        step(objective, images.clone())
    assert sorted(calls) == [False, False, True, True]


def test_nothing_changes_by_sharing(objective, make_chain, images):
    recipe, chain = make_chain(semantic=SEMANTIC, feature=FEATURE)
    torch.manual_seed(0)
    apart = Objective(
        Tokenizer(recipe, chain), {role: build(slot, chain) for role, slot in recipe.regularizers.items()}
    ).train()
    teachers = [
        objective.by_role["feature"].teacher,
        *(apart.by_role[role].teacher for role in ("semantic", "feature")),
    ]
    assert len({id(teacher) for teacher in teachers}) == 3
    for teacher in teachers[1:]:  # the tests' own, without weights of its own, starts anew each time
        teacher.load_state_dict(teachers[0].state_dict())
    calls = [asked(teacher) for teacher in teachers]
    for _ in range(2):
        ours, theirs = step(objective, images), step(apart, images.clone())
        assert torch.equal(ours.total, theirs.total)
        assert all(torch.equal(ours.terms[name], theirs.terms[name]) for name in theirs.terms)
    gradients = dict(apart.named_parameters())
    for name, parameter in objective.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name
    assert [len(made) for made in calls] == [4, 2, 4]


def test_a_teacher_draws_nothing_from_the_generator(make_chain):
    recipe, chain = make_chain(feature=FEATURE)
    slot = recipe.regularizers["feature"].config.teacher
    before = torch.get_rng_state()
    with shared_teachers():
        first = build_teacher(slot, chain.image)
        assert build_teacher(slot, chain.image) is first
    assert build_teacher(slot, chain.image) is not first
    assert torch.equal(torch.get_rng_state(), before)
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_another_target_is_asked_about_itself(term, images):
    target = images.flip(3)
    views = {"main": View(Decoded(target), images), "flipped": View(Decoded(images), target)}
    terms = term.terms(Pass(None, images, None, Progress(0, 1), Encoded(images), views=views))
    assert terms == {"": term.distance(target, images), "flipped": term.distance(images, target)}


def test_views_of_one_target_ask_about_it_once(make_objective, images):
    feature = {**FEATURE, "views": None}
    objective = make_objective(feature=feature, shortcut={"use": "shortcut", "stop": 1})
    calls = asked(objective.by_role["feature"].teacher)
    losses = objective(images.clone(), None, Progress(0, 1))
    assert {"feature", "feature.shortcut"} <= set(losses.terms)
    assert sorted(calls) == [False, True, True]
