import math

import pytest
import torch

import tokzoo
from tokzoo_ar.configs import GPTConfig
from tokzoo_ar.gpt import GPT

CODES = torch.tensor([[1, 2, 3, 4, 5, 6], [6, 0, 10, 3, 3, 2], [0, 0, 7, 8, 9, 1]])
LABELS = torch.tensor([0, 3, 1])
VARIANTS = [
    {},
    {"qk_norm": True},
    {"adaln": "full"},
    {"adaln": "shared", "qk_norm": True},
    {"positions": "rotary"},
    {"positions": "rotary", "adaln": "shared", "qk_norm": True},
    {"positions": "rotary-2d", "adaln": "full"},
    {"positions": "rotary-2d", "qk_norm": True},
]


def tokens(shape, vocab, classes):
    return tokzoo.Tokens(tokzoo.CodeSpec(shape, (vocab,)), tokzoo.LatentSpec("sequence", (1,), 8), classes)


def on_meta(config, positions=256, vocab=16384, classes=1000):
    with torch.device("meta"):
        return GPT(config, tokens((positions,), vocab, classes))


def forced(model, codes, labels, scales=None):
    """Logits of cached decoding, made to choose ``codes``."""
    steps = model.decode_steps(labels, len(codes), scales)
    return torch.stack([steps.send(None)] + [steps.send(chosen) for chosen in codes.T[:-1]], dim=1)


@pytest.mark.parametrize(
    ("size", "count"),
    [("B", 111_085_824), ("L", 343_174_144), ("XL", 775_028_480), ("XXL", 1_411_367_424), ("XXXL", 3_893_685_760)],
)
def test_parameter_counts_of_published_sizes(size, count):
    assert sum(parameter.numel() for parameter in on_meta(GPTConfig(size=size)).parameters()) == count


def test_unconditional_model_has_one_start():
    assert on_meta(GPTConfig(), classes=None).starts.weight.shape == (1, 768)


def test_initialisation():
    torch.manual_seed(0)
    shape = {"size": None, "layers": 2, "heads": 2, "width": 128}
    for adaln in ("full", "shared"):
        model = GPT(GPTConfig(**shape, adaln=adaln), tokens((64,), 512, 10))
        zero = {name for name, parameter in model.named_parameters() if not parameter.any()}
        assert "head.weight" in zero
        assert all("modulation." in name for name in zero - {"head.weight"})
        assert all(name in zero for name, _ in model.named_parameters() if "modulation." in name)
        for name, parameter in model.named_parameters():
            if name in zero:
                continue
            if "norm" in name:
                assert (parameter == 1).all()
            else:
                scale = 128**-0.5 if name == "positions" or "offset" in name else 0.02
                assert parameter.std().item() == pytest.approx(scale, rel=0.06), name
        loss = model.eval()(torch.randint(512, (2, 64)), torch.tensor([1, 2])).loss
        assert loss.item() == pytest.approx(math.log(512))


def test_loss_is_the_mean_negative_log_likelihood(tiny_gpt):
    model = tiny_gpt()
    out = model(CODES, LABELS)
    log_likelihood = model.logits(CODES, LABELS).log_softmax(-1).gather(-1, CODES[..., None])[..., 0]
    torch.testing.assert_close(out.nats_per_token, -log_likelihood.mean(1))
    torch.testing.assert_close(out.loss, -log_likelihood.mean())
    assert out.exact
    assert out.loss.requires_grad
    assert not out.nats_per_token.requires_grad


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_code_is_predicted_from_those_before_it(tiny_gpt, variant):
    model = tiny_gpt(**variant)
    changed = CODES.clone()
    changed[:, 2] = 5
    difference = (model.logits(CODES, LABELS) - model.logits(changed, LABELS)).abs().amax((0, 2))
    assert difference[:3].max() == 0
    assert difference[3:].min() > 1e-3


@pytest.mark.parametrize("labels", [LABELS, None])
@pytest.mark.parametrize("variant", VARIANTS)
def test_cached_decoding_equals_full_forward(tiny_gpt, variant, labels):
    model = tiny_gpt(**variant)
    torch.testing.assert_close(forced(model, CODES, labels), model.logits(CODES, labels), atol=2e-5, rtol=1e-5)


def test_guided_decoding_combines_two_full_forwards(tiny_gpt):
    model = tiny_gpt(adaln="full")
    scales = [3.0, 1.0, 0.0, 2.0, 1.5, 4.0]
    conditional, null = model.logits(CODES, LABELS), model.logits(CODES, None)
    expected = null + (conditional - null) * torch.tensor(scales)[:, None]
    torch.testing.assert_close(forced(model, CODES, LABELS, scales), expected, atol=5e-5, rtol=1e-5)


def test_every_class_and_the_null_class_count(tiny_gpt):
    model = tiny_gpt()
    first = [model.logits(CODES[:1], labels)[0, 0] for labels in [None, *torch.arange(4).split(1)]]
    distances = torch.cdist(torch.stack(first), torch.stack(first)) + torch.eye(5)
    assert distances.min() > 1e-2
    assert torch.equal(first[0], model.logits(CODES[:1], torch.tensor([4]))[0, 0])


@pytest.mark.parametrize("adaln", ["none", "full"])
def test_unconditional_model_reads_no_labels(tiny_gpt, adaln):
    model = tiny_gpt(classes=None, adaln=adaln)
    assert torch.equal(model.logits(CODES, LABELS), model.logits(CODES, None))
    torch.testing.assert_close(forced(model, CODES, None), model.logits(CODES, None), atol=2e-5, rtol=1e-5)


def test_label_dropout_gives_the_null_class_in_training_alone(tiny_gpt):
    model = tiny_gpt(label_dropout=1.0)
    assert not torch.equal(model.logits(CODES, LABELS), model.logits(CODES, None))
    assert torch.equal(model.train().logits(CODES, LABELS), model.logits(CODES, None))


def test_label_dropout_rate(tiny_gpt):
    model = tiny_gpt(label_dropout=0.25).train()
    torch.manual_seed(0)
    logits = model.logits(CODES[:1].expand(2000, -1), LABELS[1:2].expand(2000))[:, 0]
    model.eval()
    null = model.logits(CODES[:1], None)[0, 0]
    assert ((logits - null).abs().amax(-1) < 1e-5).float().mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("name", ["token_dropout", "residual_dropout", "ffn_dropout", "drop_path", "label_dropout"])
def test_each_dropout_draws_from_the_global_generator_in_training_alone(tiny_gpt, name):
    model = tiny_gpt(**{name: 0.5})
    steady = model.logits(CODES, LABELS)
    assert torch.equal(steady, tiny_gpt().logits(CODES, LABELS))
    model.train()
    torch.manual_seed(1)
    first = model.logits(CODES, LABELS)
    second = model.logits(CODES, LABELS)
    torch.manual_seed(1)
    assert torch.equal(first, model.logits(CODES, LABELS))
    assert not torch.equal(first, second)
    assert not torch.allclose(first, steady)


def test_adaln_is_conditioned_on_the_start_before_token_dropout(tiny_gpt):
    model = tiny_gpt(adaln="full", token_dropout=0.9).train()
    seen = []
    model.final_modulation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.logits(CODES, LABELS)
    start = model.starts.weight[LABELS] + model.positions[0]
    torch.testing.assert_close(seen[0][:, 0], torch.nn.functional.silu(start))


def test_drop_path_rates_rise_linearly():
    model = on_meta(GPTConfig(size=None, layers=3, heads=1, width=8, drop_path=0.4))
    assert [getattr(block.drop_path, "drop_prob", 0) for block in model.blocks] == pytest.approx([0, 0.2, 0.4])


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_the_stream_after_a_block_without_dropout(tiny_gpt, variant):
    model = tiny_gpt(**variant)
    seen = {}
    for number, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda _, __, out, number=number: seen.update({number: out}))
    model.logits(CODES, LABELS)
    wanted = dict(seen)
    noisy = tiny_gpt(**variant, token_dropout=0.5, ffn_dropout=0.5, label_dropout=1.0).train()
    for layer in (1, 2, 3):
        features = noisy.features(CODES, LABELS, layer)
        assert features.shape == (3, 6, 16)
        assert torch.equal(features, wanted[layer])
        assert not features.requires_grad
    assert noisy.training
    assert noisy.blocks[0].ffn.training


def test_features_of_null_class(tiny_gpt):
    model = tiny_gpt()
    assert torch.equal(model.features(CODES, None, 2), model.features(CODES, torch.full((3,), 4), 2))


@pytest.mark.parametrize("layer", [0, 4])
def test_features_of_a_block_that_is_not_there(tiny_gpt, layer):
    with pytest.raises(tokzoo.Refusal, match="from 1 to 3"):
        tiny_gpt().features(CODES, None, layer)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bf16_autocast(tiny_gpt, variant):
    model = tiny_gpt(**variant)
    exact = model.logits(CODES, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(CODES, LABELS)
        cached = forced(model, CODES, LABELS)
        model(CODES, LABELS).loss.backward()
    assert half.dtype == cached.dtype == torch.float32
    spread = exact.std()
    assert 0 < (half - exact).abs().max() < 0.15 * spread
    assert 0 < (cached - exact).abs().max() < 0.15 * spread
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_learns_a_class_by_heart():
    torch.manual_seed(0)
    config = GPTConfig(size=None, layers=2, heads=2, width=32, ffn_multiple=16, label_dropout=0.2)
    model = GPT(config, tokens((2, 3), 11, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model(CODES, LABELS).loss.backward()
        optimizer.step()
    model.eval()
    assert model(CODES, LABELS).loss < 0.1
    sampled = model.sample(LABELS, config.sampler(greedy=True), torch.arange(3))
    assert torch.equal(sampled, CODES)
