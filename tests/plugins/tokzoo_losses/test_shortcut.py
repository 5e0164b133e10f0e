from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from tokzoo import Decoded, Encoded, HiddenSpec, Pass, Progress, Refusal
from tokzoo_losses.configs import L2Config, ShortcutConfig
from tokzoo_losses.l2 import L2
from tokzoo_losses.shortcut import Shortcut


def state_of(tokenizer, images, feature_map, ours):
    """A pass whose decoder made the map ``ours``."""
    hidden = {"map": ours.flatten(2).transpose(1, 2)}
    encoded = Encoded(images, feature_map)
    return Pass(tokenizer, images, None, Progress(0, 1), encoded, decoded=Decoded(images, hidden))


def random_state():
    generator = torch.Generator().manual_seed(0)
    feature_map, ours = (torch.randn(2, 5, 4, 3, generator=generator).requires_grad_() for _ in range(2))
    return state_of(None, torch.zeros(2, 3, 8, 6), feature_map, ours), feature_map, ours


def test_golden_terms(golden):
    _, tensors = golden
    decoded = Decoded(tensors["train.rot1.recon_direct"])
    given = []
    decoder = SimpleNamespace(decode_feature_map=lambda feature_map: given.append(feature_map) or decoded)
    tokenizer = SimpleNamespace(decoder=decoder)
    state = state_of(tokenizer, tensors["in.x"], tensors["eval.spatial"], tensors["eval.rec_spatial"])
    shortcut = Shortcut(ShortcutConfig(), None)
    state.views.update(shortcut.views(state))
    direct = L2(L2Config(), None).terms(state)["shortcut"].item()
    feature = shortcut.terms(state)["feature"].item()
    assert given[0] is tensors["eval.spatial"]
    for path in ("rot0", "rot1"):
        assert direct == pytest.approx(tensors[f"train.{path}.rec_direct"].item(), abs=1e-6)
        assert feature == pytest.approx(tensors[f"train.{path}.fea_rec"].item(), abs=1e-6)


def test_the_encoders_map_is_a_target_without_gradient():
    for feature in ("mse", "cosine"):
        state, feature_map, ours = random_state()
        Shortcut(ShortcutConfig(feature=feature), None).terms(state)["feature"].backward()
        assert feature_map.grad is None
        assert ours.grad.abs().sum() > 0


def test_cosine_is_over_the_channels_of_each_place():
    state, feature_map, ours = random_state()
    term = Shortcut(ShortcutConfig(feature="cosine"), None).terms(state)["feature"]
    torch.testing.assert_close(term, (1 - F.cosine_similarity(ours, feature_map, dim=1)).mean())


def test_terms_in_float32_under_autocast():
    state, feature_map, _ = random_state()
    state.encoded.feature_map = feature_map.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert Shortcut(ShortcutConfig(), None).terms(state)["feature"].dtype == torch.float32


def test_in_an_objective_until_its_gate_closes(make_objective, images):
    objective = make_objective(shortcut={"use": "shortcut", "stop": 0.5, "weight": 0.1})
    losses = objective(images, None, Progress(0, 10))
    assert {"l2", "l2.shortcut", "shortcut.feature"} <= set(losses.terms)
    view = losses.state.views["shortcut"]
    assert view.target is losses.state.images
    direct = objective.tokenizer.decoder.cnn(losses.state.encoded.feature_map)
    assert torch.equal(view.decoded.images, direct)
    rest = losses.terms["l2"] + losses.terms["l2.shortcut"] + 0.1 * losses.terms["shortcut.feature"]
    for name in losses.state.quantized.losses:
        rest = rest + objective.tokenizer.quantizer.config.weight_of(name) * losses.terms[f"quantizer.{name}"]
    torch.testing.assert_close(losses.total.detach(), rest)
    later = objective(images, None, Progress(5, 10))
    assert not [name for name in later.terms if "shortcut" in name]
    assert set(later.state.views) == {"main"}


def test_the_direct_view_trains_both_cnns_around_the_quantizer(make_objective, images):
    objective = make_objective(shortcut={"use": "shortcut", "feature": "none"})
    state = objective(images, None, Progress(0, 1)).state
    objective.by_role["l2"].terms(state)["shortcut"].backward()
    tokenizer = objective.tokenizer
    assert tokenizer.encoder.cnn.conv_in.weight.grad.abs().sum() > 0
    assert tokenizer.decoder.cnn.conv_in.weight.grad.abs().sum() > 0
    around = [*tokenizer.encoder.transformer.parameters(), *tokenizer.quantizer.parameters()]
    assert all(p.grad is None for p in around)


def test_each_half_can_be_had_alone(make_config, make_objective, images):
    terms = make_objective(shortcut={"use": "shortcut", "direct": False})(images, None, Progress(0, 1)).terms
    assert "shortcut.feature" in terms
    assert "l2.shortcut" not in terms
    assert make_config("shortcut", feature="none").taps() == ()
    with pytest.raises(ValueError, match="leave nothing to do"):
        ShortcutConfig(feature="none", direct=False)


def test_refusals(make_chain):
    config = ShortcutConfig()
    _, chain = make_chain(shortcut="shortcut")
    config.accepts(chain)
    with pytest.raises(Refusal, match="this encoder hands on none"):
        config.accepts(replace(chain, feature_map=None))
    for hidden in (HiddenSpec((2, 8), 12), HiddenSpec((4, 4), 6)):
        with pytest.raises(Refusal, match="give both sides the same map"):
            config.accepts(replace(chain, hidden={"map": hidden}))
    with pytest.raises(Refusal, match=r"encoder → decoder: .* 8×4×4 feature map directly, not a 12×4×4"):
        make_chain(shortcut="shortcut", decoder={"map_channels": 8})
    assert ShortcutConfig.requires == {"feature_map_decoding"}
