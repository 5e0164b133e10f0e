"""TiTok's second stage (arXiv 2406.07550, section 4): a decoder learns anew, on frozen tokens of the first stage.

Two recipes. The second starts from what the first has saved, leaves encoder and codebook as they are, and has another
decoder and another objective. With the same decoder, taken over too, it is the fine-tuning of a decoder.
"""

import pytest
import torch

import tokzoo

SIZES = {"size": None, "width": 8, "layers": 1, "heads": 2, "channels": 4, "multipliers": [1, 1, 1, 1], "groups": 2}
BACKBONE = {"use": "gigatok-qformer", **SIZES, "map_channels": 8, "blocks": 1}
FIRST = {
    "encoder": {**BACKBONE, "tokens": 8},
    "quantizer": {"use": "vq", "codes": 16, "dim": 4, "ema": {}, "revive": {}},
    "decoder": "tokzoo-testing/any",
}
FROZEN = {"train": {"tokenizer": {"parts": {"encoder": {"stop": 0}, "quantizer": {"stop": 0}}}}}
GAN = {"gan": {"use": "patchgan", "channels": 4, "layers": 1}}


@pytest.fixture
def stages(lab, run_cell):
    """The lab, the first stage, and a function that runs one from what the first has saved."""
    lab = lab(image=tokzoo.ImageSpec(1, (32, 32)))
    first = run_cell(lab, **FIRST)

    def second(*parts, **recipe):
        init = {"folder": str(first.folder), "parts": list(parts)}
        return run_cell(lab, **{**FIRST, **FROZEN, **recipe}, init=init)

    return lab, first, second


def changed(first, second):
    """The parts whose weights or buffers are not bit for bit those of the other tokenizer."""
    before, after = (cell.tokenizer.state_dict() for cell in (first, second))
    return {
        name.partition(".")[0]
        for name in before.keys() | after.keys()
        if name not in before or name not in after or not torch.equal(before[name], after[name])
    }


def test_another_decoder_learns_on_frozen_tokens(stages):
    lab, first, second = stages
    done = second("encoder", "quantizer", decoder=BACKBONE, regularizers=GAN)
    assert changed(first, done) == {"decoder"}
    images = lab.images[:, :1].contiguous()
    assert torch.equal(first.tokenizer.encode(images), done.tokenizer.encode(images))
    untrained = lab.task(lab.recipe(**{**FIRST, "decoder": BACKBONE})).tokenizer.decoder.state_dict()
    learned = done.tokenizer.decoder.state_dict()
    assert untrained.keys() == learned.keys()
    assert any(not torch.equal(tensor, learned[name]) for name, tensor in untrained.items())


def test_a_decoder_is_fine_tuned(stages):
    _, first, second = stages
    done = second("encoder", "quantizer", "decoder", regularizers=GAN)
    assert changed(first, done) == {"decoder"}
    assert done.record.recipe.hash != first.record.recipe.hash


def test_all_of_it_is_trained_on(stages):
    _, first, second = stages
    assert changed(first, second("encoder", "quantizer", "decoder", train={})) == {"encoder", "quantizer", "decoder"}
