import pytest
import torch

import tokzoo

RECIPE = {
    "encoder": "tokzoo-testing/sequence",
    "quantizer": "tokzoo-testing/nearest",
    "regularizers": {"nested": "strain/nested"},
}


def test_images_are_decoded_from_the_first_tokens_alone(lab):
    lab = lab("nested_dropout")
    tokenizer = lab.tokenizer(**RECIPE, decoder="strain/ordered")
    assert tokenizer.prefixes == tuple(range(1, 9))
    assert bool(tokenizer.decoder.missing.any())  # it was learned
    codes = tokenizer.encode(lab.images)
    first = tokenizer.decode(codes[:, :3])
    assert not torch.equal(first, tokenizer.decode(codes))
    codes[:, 3:] = 0
    assert torch.equal(tokenizer.from_prefix(codes, 3), first)


def test_a_cell_reports_psnr_by_the_number_of_tokens(lab, run_cell):
    lab = lab("nested_dropout", image=tokzoo.ImageSpec(1, (32, 32)))
    record = run_cell(lab, metrics=["psnr", "prefix-psnr"], **RECIPE, decoder="strain/ordered").record
    found = {name: value.value for name, value in record.metrics.items() if "psnr_at" in name}
    assert list(found) == [f"reconstruction.psnr_at_{count}" for count in (1, 2, 4, 8)]
    assert found["reconstruction.psnr_at_8"] == record.metrics["reconstruction.psnr"].value
    assert len(set(found.values())) == 4


def test_a_decoder_that_needs_all_tokens_is_refused(lab):
    lab = lab("nested_dropout", "eq")
    with pytest.raises(tokzoo.Refusal, match=r"needs the capability 'decoder\.prefix_decoding'"):
        lab.solve(lab.recipe(**{**RECIPE, "encoder": "tokzoo-testing/grid"}, decoder="strain/conv"))
