import pytest

import tokzoo

RECIPE = {"quantizer": {"use": "strain/gaussian", "dim": 3}}


def test_it_reconstructs_and_has_no_codes(lab):
    lab = lab("continuous")
    tokenizer = lab.tokenizer(**RECIPE)
    assert lab.events[-1]["quantizer.kl"] > 0
    assert tokenizer.chain.codes is None
    assert str(tokenizer.chain.quantized) == "3 channels in a 4×4 grid"
    with pytest.raises(tokzoo.TokzooError, match="'strain/gaussian' is continuous"):
        tokenizer.encode(lab.images)


def test_what_needs_codes_is_not_applicable_which_is_no_failure(lab, run_cell):
    lab = lab("continuous", image=tokzoo.ImageSpec(1, (32, 32)))
    metrics = ["psnr", "prefix-psnr", "codebook", "ar-loss", "cost"]
    record = run_cell(
        lab, metrics, probe={"use": "gpt", "size": None, "layers": 1, "heads": 2, "width": 8}, **RECIPE
    ).record
    assert {"codes", "ar", "likelihood", "samples", "generation"} <= set(record.not_applicable)
    assert {name.partition(".")[0] for name in record.metrics} == {"reconstruction", "cost"}


def test_it_keeps_to_the_kit(lab):
    assert not lab("continuous").conformance("quantizer", "strain/gaussian")
