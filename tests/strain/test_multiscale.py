import pytest
import torch

import tokzoo

MAPS = {"use": "strain/multi-scale", "codes": 16, "dim": 4, "sides": [1, 2, 4]}
AR = {"use": "strain/next-scale", "layers": 2, "heads": 2, "width": 16}


def test_map_by_map(lab):
    lab = lab("multiscale")
    tokenizer = lab.tokenizer(quantizer=MAPS)
    assert tokenizer.chain.codes.segments == ((1, 1), (2, 2), (4, 4))
    assert tokenizer.chain.codes.positions == 21
    learned = lab.ar(tokenizer, AR)
    assert not any("quantizer" in name for name in learned.model.state_dict())
    # What is known before the last map is what the first two decode to, in its size.
    known = tokenizer.quantizer.next_scale(learned.codes[:, :5], 2)
    torch.testing.assert_close(known, tokenizer.quantizer.decode(learned.codes[:, :5]))


def test_the_first_maps_are_an_image_already(lab):
    lab = lab("multiscale")
    tokenizer = lab.tokenizer(quantizer=MAPS)
    codes = tokenizer.encode(lab.images)
    assert tokenizer.prefixes == (1, 5, 21)
    images = [tokenizer.from_prefix(codes, count) for count in (1, 7, 30)]
    assert images[1].equal(tokenizer.decode(codes[:, :5]))
    assert images[2].equal(tokenizer.decode(codes))
    assert not images[0].equal(images[1])


def test_a_quantizer_without_maps_is_refused(lab):
    lab = lab("multiscale")
    tokenizer = lab.tokenizer(quantizer="tokzoo-testing/nearest")
    with pytest.raises(
        tokzoo.Refusal,
        match=r"needs the capability 'next_scale', which .* 'tokzoo-testing/nearest'.* "
        r"provided by quantizer 'strain/multi-scale'",
    ):
        lab.check_probe(tokenizer, AR)


def test_maps_of_another_size_are_refused(lab):
    lab = lab("multiscale")
    with pytest.raises(tokzoo.Refusal, match="ends with a map of 8×8, and the latent has 4 channels in a 4×4 grid"):
        lab.solve(lab.recipe(quantizer={**MAPS, "sides": [1, 8]}))


def test_it_keeps_to_the_kit(lab):
    lab = lab("multiscale")
    assert not lab.conformance("quantizer", "strain/multi-scale")


def test_a_cell_judges_and_samples_it(lab, run_cell):
    lab = lab("multiscale", image=tokzoo.ImageSpec(1, (32, 32)))
    metrics = ["psnr", "prefix-psnr", "codebook", "ar-loss", "ar-probe", "sample-accuracy", "cost", "throughput"]
    found = run_cell(lab, metrics, probe=AR, quantizer=MAPS).record.metrics
    assert {f"reconstruction.psnr_at_{count}" for count in (1, 2, 4)} <= found.keys()
    assert {"ar.bits_per_image", "probe.ar_linear", "generation.class_accuracy"} <= found.keys(), list(found)
