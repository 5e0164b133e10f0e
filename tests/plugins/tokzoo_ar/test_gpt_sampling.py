import pytest
import torch
from scipy.stats import chisquare

import tokzoo
from tokzoo.nn.guidance import Step
from tokzoo.nn.sampling import filtered_probabilities
from tokzoo_ar.configs import GPTSampler

LABELS = torch.tensor([0, 3, 1, 1, 2, 0, 3])
SEEDS = torch.tensor([5, 2**40, -3, 8, 5, 9, 10])
SAMPLERS = [
    GPTSampler(),
    GPTSampler(cfg=2.5, schedule=Step(start=0.3), temperature=0.9, top_k=7, top_p=0.95),
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("variant", [{}, {"adaln": "shared", "qk_norm": True, "positions": "rotary-2d"}])
def test_an_image_does_not_depend_on_its_batch(tiny_gpt, sampler, variant):
    model = tiny_gpt(vocab=101, length=12, **variant)
    whole = model.sample(LABELS, sampler, SEEDS)
    for size in (1, 3):
        parts = zip(LABELS.split(size), SEEDS.split(size), strict=True)
        assert torch.equal(whole, torch.cat([model.sample(labels, sampler, seeds) for labels, seeds in parts]))
    assert whole.dtype == torch.int64
    assert whole.shape == (7, 12)
    assert whole.unique(dim=0).shape[0] == 7


def test_seed_and_label_decide(tiny_gpt):
    model = tiny_gpt(vocab=101, length=12)
    sample = model.sample(torch.tensor([1, 1, 1, 2]), GPTSampler(), torch.tensor([5, 6, 5, 5]))
    assert torch.equal(sample[0], sample[2])
    assert not torch.equal(sample[0], sample[1])
    assert not torch.equal(sample[0], sample[3])


def test_sampling_leaves_global_generator_and_mode_alone(tiny_gpt):
    model = tiny_gpt(token_dropout=0.5, ffn_dropout=0.5)
    quiet = model.sample(LABELS, GPTSampler(), SEEDS)
    model.train()
    before = torch.get_rng_state()
    assert torch.equal(quiet, model.sample(LABELS, GPTSampler(), SEEDS))
    assert torch.equal(before, torch.get_rng_state())
    assert model.training


@pytest.mark.parametrize(
    "sampler", [GPTSampler(), GPTSampler(temperature=1.7, top_k=4), GPTSampler(top_p=0.8), GPTSampler(cfg=1.5)]
)
def test_codes_are_drawn_with_the_probabilities_of_the_model(tiny_gpt, sampler):
    model = tiny_gpt(vocab=6, length=2)
    images = 4000
    labels = torch.full((images,), 2)
    drawn = model.sample(labels, sampler, torch.arange(images))
    pairs = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    logits, null = model.logits(pairs, labels[:36]), model.logits(pairs, None)
    logits = null + (logits - null) * sampler.cfg
    probabilities = filtered_probabilities(logits, sampler.temperature, sampler.top_k, sampler.top_p)
    joint = probabilities.gather(-1, pairs[..., None])[..., 0].prod(-1).detach()
    torch.testing.assert_close(joint.sum(), torch.tensor(1.0, dtype=torch.float64))
    observed = torch.bincount(drawn[:, 0] * 6 + drawn[:, 1], minlength=36).double()
    assert (observed[joint == 0] == 0).all()
    rare = joint * images < 5
    expected = torch.cat([joint[~rare], joint[rare].sum()[None]]) * images
    counted = torch.cat([observed[~rare], observed[rare].sum()[None]])
    some = expected > 0
    assert chisquare(counted[some].numpy(), expected[some].numpy()).pvalue > 1e-3


def test_no_labels_means_the_null_class(tiny_gpt):
    model = tiny_gpt(vocab=101)
    assert torch.equal(model.sample(None, GPTSampler(), SEEDS), model.sample(torch.full((7,), 4), GPTSampler(), SEEDS))


def test_guidance_needs_classes(tiny_gpt):
    model = tiny_gpt(classes=None)
    assert model.sample(None, GPTSampler(), SEEDS).shape == (7, 6)
    with pytest.raises(tokzoo.Refusal, match=r"cfg 2 .* set the sampler's cfg to 1"):
        model.sample(None, GPTSampler(cfg=2), SEEDS)


def test_greedy_ignores_seeds(tiny_gpt):
    model = tiny_gpt(vocab=101)
    sampler = GPTSampler(greedy=True, temperature=3, top_k=2)
    assert torch.equal(model.sample(LABELS, sampler, SEEDS), model.sample(LABELS, sampler, SEEDS + 1))
    first = model.logits(torch.zeros(7, 6, dtype=torch.int64), LABELS)[:, 0].argmax(-1)
    assert torch.equal(model.sample(LABELS, sampler, SEEDS)[:, 0], first)


def test_scale_one_runs_one_pass_whatever_the_schedule(tiny_gpt):
    model = tiny_gpt(vocab=101)
    batches = []
    model.blocks[0].register_forward_hook(lambda _, inputs, __: batches.append(len(inputs[0])))
    plain = model.sample(LABELS, GPTSampler(), SEEDS)
    assert torch.equal(plain, model.sample(LABELS, GPTSampler(schedule={"use": "linear"}), SEEDS))
    assert set(batches) == {7}


def test_a_sampler_survives_json():
    sampler = GPTSampler(cfg=2, schedule={"use": "step", "start": 0.3})
    assert GPTSampler.model_validate_json(sampler.model_dump_json()) == sampler
