import re

import pytest
import torch

from tokzoo import Progress, StepContext, TokzooError
from tokzoo.assembly.objective import detached
from tokzoo.contracts.errors import Broken

START = Progress(0, 100)


def losses(objective, images, step=0):
    return objective(images, None, Progress(step, 100))


def test_total_is_the_weighted_sum_of_unweighted_terms(make_objective, images):
    vq = {"use": "vq", "codes": 16, "dim": 4, "commitment": 0.3, "codebook_weight": 0.7}
    found = losses(make_objective(vq, l1={"use": "l1", "weight": 2.0}, l2={"use": "l2", "weight": 0.0}), images)
    assert found.terms.keys() == {"quantizer.commitment", "quantizer.codebook", "l1", "l2"}
    decoded = found.state.decoded.images
    torch.testing.assert_close(found.terms["l1"], (decoded - images).abs().mean().detach())
    torch.testing.assert_close(found.terms["l2"], (decoded - images).square().mean().detach())
    weighted = 0.3 * found.terms["quantizer.commitment"] + 0.7 * found.terms["quantizer.codebook"]
    torch.testing.assert_close(found.total.detach(), weighted + 2 * found.terms["l1"])
    assert found.total.requires_grad
    assert not any(term.requires_grad for term in found.terms.values())


def test_a_role_may_be_called_as_a_method_of_torch(make_objective, images):
    objective = make_objective(type="l1", _modules="l2")
    assert losses(objective, images).terms.keys() >= {"type", "_modules"}
    assert objective.part("regularizers.type") is objective.by_role["type"]


def test_weight_does_not_change_what_is_logged(make_objective, images):
    light, heavy = (losses(make_objective(l1={"use": "l1", "weight": w}), images) for w in (0.5, 5.0))
    assert torch.equal(light.terms["l1"], heavy.terms["l1"])
    torch.testing.assert_close(heavy.total - light.total, 4.5 * light.terms["l1"])


def test_quantizer_weighs_its_own_losses(make_objective, images):
    objective = make_objective("test/two-levels", l1={"use": "l1", "weight": 0.0})
    found = losses(objective, images)
    assert found.terms["quantizer.spread"] > 0
    torch.testing.assert_close(found.total.detach(), 2 * found.terms["quantizer.drift"])


@pytest.mark.parametrize(
    ("start", "stop", "active"),
    [(0, None, range(100)), (30, None, range(30, 100)), (0.3, 0.5, range(30, 50)), (2, 3, [2]), (5, 5, [])],
)
def test_gates(make_objective, images, start, stop, active):
    objective = make_objective(l1="l1", gated={"use": "l2", "start": start, "stop": stop})
    assert [step for step in range(100) if "gated" in objective.active(Progress(step, 100))] == list(active)
    for step in (0, 2, 3, 29, 30, 49, 50, 99):
        found = losses(objective, images, step)
        assert ("gated" in found.terms) == (step in active)
        weighted = sum(term for name, term in found.terms.items() if name in {"l1", "gated"})
        quantizer = 0.25 * found.terms["quantizer.commitment"] + found.terms["quantizer.codebook"]
        torch.testing.assert_close(found.total.detach(), weighted + quantizer)


def test_closed_gates_close_transforms_and_views_too(make_objective, images):
    closed = make_objective(
        shift={"use": "test/shift", "by": 1.0, "start": 1}, dark={"use": "test/dark", "start": 1}, l1="l1"
    )
    assert losses(closed, images).terms["l1"] == losses(make_objective(l1="l1"), images).terms["l1"]
    assert losses(closed, images).state.views.keys() == {"main"}
    assert losses(closed, images, 1).state.views.keys() == {"main", "dark"}


def test_transforms_change_what_is_decoded_in_their_order(make_objective, images):
    objective = make_objective(
        a={"use": "test/shift", "by": 1.0}, b={"use": "test/shift", "times": 3.0}, c={"use": "test/shift", "by": -0.5}
    )
    state = losses(objective, images).state
    expected = objective.tokenizer.decoder((state.quantized.latent + 1) * 3 - 0.5)
    assert torch.equal(state.decoded.images, expected.images)
    assert torch.equal(state.views["main"].decoded.images, expected.images)


def test_image_terms_run_over_the_views_they_name(make_objective, images):
    objective = make_objective(
        every="l1",
        plain={"use": "l1", "views": ["main"]},
        dim={"use": "l1", "views": ["dark"]},
        none={"use": "l1", "views": ["another"]},
        dark="test/dark",
    )
    found = losses(objective, images)
    # The view comes from a role below: views are all made before any term.
    assert found.terms.keys() == {
        *("every", "every.dark", "plain", "dim.dark", "dark.seen"),
        *("quantizer.commitment", "quantizer.codebook"),
    }
    dark = objective.tokenizer.decoder(torch.zeros_like(found.state.quantized.latent)).images
    torch.testing.assert_close(found.terms["dim.dark"], (dark + 1).abs().mean().detach())
    torch.testing.assert_close(found.terms["every.dark"], found.terms["dim.dark"])
    torch.testing.assert_close(found.terms["every"], found.terms["plain"])


def test_a_term_must_be_a_scalar(make_objective, images):
    with pytest.raises(TokzooError, match=r"loss term odd\.per_image must be a scalar, and has the shape \[3\]"):
        losses(make_objective(odd="test/vector"), images)


@pytest.mark.parametrize(
    ("given", "said"), [(0.5, "tensor, and is a float"), (torch.ones(3), r", and has the shape \[3\]")]
)
def test_what_is_no_scalar_is_told_with_its_role(make_objective, images, monkeypatch, given, said):
    objective = make_objective(l1="l1", pull="test/balanced")
    monkeypatch.setattr(type(objective.by_role["pull"]), "adapt", lambda *_: given)
    with pytest.raises(TokzooError, match=rf"^regularizers\.pull: its factor must be a scalar ?{said}$"):
        losses(objective, images)
    monkeypatch.setattr(type(objective.by_role["pull"]), "terms", lambda *_: {"odd": given})
    with pytest.raises(TokzooError, match=rf"^loss term pull\.odd must be a scalar ?{said}$"):
        losses(objective, images)


def test_what_a_role_says_where_it_cannot_weigh_is_told_with_it(make_objective, images):
    objective = make_objective(l1="l1", pull="test/balanced")
    objective.tokenizer.decoder.last_layer().requires_grad_(False)
    with pytest.raises(TokzooError, match=r"^regularizers\.pull: a weight that follows from gradients needs them"):
        losses(objective, images)


def test_unquantized_warmup(make_objective, images):
    objective = make_objective({"use": "vq", "codes": 16, "dim": 4, "warmup": 5}, l1="l1", entropy="entropy")
    objective.tokenizer.quantizer.before_step(StepContext(START))
    assert losses(objective, images).terms.keys() == {"l1"}
    objective.tokenizer.quantizer.before_step(StepContext(Progress(5, 100)))
    assert losses(objective, images, 5).terms.keys() == {
        *("l1", "entropy.sample", "entropy.codebook", "quantizer.commitment", "quantizer.codebook")
    }


def test_adversary_s_losses(make_objective, images):
    objective = make_objective(gan={"use": "test/critic", "weight": 0.5}, dark="test/dark")
    own = losses(objective, images)
    torch.testing.assert_close(own.terms["gan"], -2 * own.state.decoded.images.mean().detach())
    theirs = objective(images, None, START, "gan", detached(own.state))
    assert theirs.terms.keys() == {"gan.adversary", "gan.adversary.latent"}
    torch.testing.assert_close(theirs.total.detach(), 0.5 * sum(theirs.terms.values()))
    theirs.total.backward()
    assert [name for name, p in objective.named_parameters() if p.grad is not None] == ["regularizers.gan.scale"]


def test_a_detached_pass_leads_nowhere(make_objective, images):
    state = losses(make_objective(dark="test/dark"), images).state
    state.views["dark"].target = state.decoded.images  # a target that is itself made by the tokenizer
    cut = detached(state)
    tensors = [cut.images, cut.encoded.latent, cut.encoded.feature_map, cut.quantized.latent, cut.decoded.images]
    tensors += [tensor for view in cut.views.values() for tensor in (view.decoded.images, view.target)]
    assert len(tensors) == 9
    assert not any(tensor.requires_grad for tensor in tensors)
    assert torch.equal(cut.views["dark"].decoded.images, state.views["dark"].decoded.images)


def test_a_role_may_set_its_weight_from_gradients(make_objective, images):
    objective = make_objective(l1={"use": "l1", "weight": 2.0}, pull="test/balanced")
    found = losses(objective, images)
    at = objective.tokenizer.decoder.last_layer()
    decoded = found.state.decoded.images
    norms = [
        torch.autograd.grad(loss, at, retain_graph=True)[0].norm()
        for loss in (2 * (decoded - images).abs().mean(), 50 * decoded.mean())
    ]
    torch.testing.assert_close(found.terms["pull.factor"], norms[0] / (norms[1] + 1e-4))
    quantizer = 0.25 * found.terms["quantizer.commitment"] + found.terms["quantizer.codebook"]
    others = quantizer + 2 * found.terms["l1"]
    torch.testing.assert_close(found.total.detach(), others + found.terms["pull.factor"] * found.terms["pull"])
    assert objective.by_role["pull"].seen == {"quantizer", "l1"}


def test_losses_of_further_decodings_are_kept(make_objective, images):
    found = losses(make_objective(more="test/restless"), images)
    quantizer = 0.25 * found.terms["quantizer.commitment"] + found.terms["quantizer.codebook"]
    torch.testing.assert_close(found.total.detach(), quantizer + found.terms["decoder.again.flow"])


@pytest.mark.parametrize(
    ("part", "method", "told"),
    [
        ("encoder", "forward", "encoder 'gigatok-vit' (plugin gigatok): forward() must return Encoded"),
        ("quantizer", "forward", "quantizer 'vq' (plugin quantizers): forward() must return Quantized"),
        ("decoder", "forward", "decoder 'gigatok-vit' (plugin gigatok): forward() must return Decoded"),
        ("l1", "transform", "regularizers.l1: transform() must return Tensor"),
        ("l1", "views", "regularizers.l1: views() must return dict"),
        ("l1", "terms", "regularizers.l1: terms() must return dict"),
    ],
)
def test_a_part_that_returns_nothing_is_named(make_objective, images, monkeypatch, part, method, told):
    objective = make_objective(l1={"use": "l1"})
    module = objective.by_role["l1"] if part == "l1" else getattr(objective.tokenizer, part)
    monkeypatch.setattr(module, method, lambda *given: None)
    with pytest.raises(Broken, match=re.escape(f"{told}, and returned None")):
        losses(objective, images)
