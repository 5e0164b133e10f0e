import torch

import tokzoo
from tokzoo.evaluation.metrics import likelihood

MASKGIT = {"use": "strain/maskgit", "layers": 2, "heads": 2, "width": 16}


def test_its_bound_depends_on_seeds_and_not_on_batches(lab):
    lab = lab("maskgit")
    tokenizer = lab.tokenizer(quantizer={"use": "vq", "codes": 16, "dim": 4})
    learned = lab.ar(tokenizer, MASKGIT, sampler={"steps": 3})
    labels = torch.arange(12) % 3
    with torch.no_grad():
        bounds = [learned.model.likelihood(learned.codes, labels, torch.arange(12) + i) for i in (0, 0, 100)]
    assert not bounds[0].exact
    assert bounds[0].nats_per_token.equal(bounds[1].nats_per_token)
    assert not bounds[0].nats_per_token.equal(bounds[2].nats_per_token)
    metric = [lab.slot("metric", "ar-loss")]
    found = [
        likelihood(learned.model, lab.codes(tokenizer), tokenizer.chain, metric, 0, batch, torch.device("cpu"))
        for batch in (12, 5)
    ]
    assert found[0].keys() == found[1].keys()
    assert all(abs(found[0][name] - found[1][name]) < 1e-4 for name in found[0])


def test_more_steps_need_no_other_model(lab):
    lab = lab("maskgit")
    tokenizer = lab.tokenizer(quantizer={"use": "vq", "codes": 16, "dim": 4})
    model = lab.ar(tokenizer, MASKGIT).model
    seeds = torch.arange(6)
    one, all_at_once = (model.sample(None, model.config.sampler(steps=steps), seeds) for steps in (16, 1))
    assert not one.equal(all_at_once)


def test_it_keeps_to_the_kit(lab):
    assert not lab("maskgit").conformance("ar", "strain/maskgit")


def test_a_cell_reports_a_bound_that_is_never_ranked(lab, run_cell):
    lab = lab("maskgit", image=tokzoo.ImageSpec(1, (32, 32)))
    quantizer = {"use": "vq", "codes": 16, "dim": 4}
    found = run_cell(lab, ["psnr", "ar-loss"], probe=MASKGIT, quantizer=quantizer).record.metrics
    assert "ar.nats_per_token" not in found
    assert found["ar.nats_per_token_bound"].better is None
