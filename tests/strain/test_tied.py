import torch

import tokzoo

RECIPE = {"encoder": "strain/tied", "quantizer": "tokzoo-testing/nearest", "decoder": "strain/tied"}


def test_what_is_shared_is_shared_again_once_it_is_loaded(lab):
    lab = lab("tied")
    before = lab.task(lab.recipe(**RECIPE)).tokenizer.encoder.patches.weight
    tokenizer = lab.tokenizer(**RECIPE)
    assert tokenizer.decoder.weight is tokenizer.encoder.patches.weight
    assert not torch.equal(tokenizer.decoder.weight, before)


def test_it_is_counted_once(lab):
    lab = lab("tied", image=tokzoo.ImageSpec(3, (32, 32)))
    recipe = lab.recipe(**RECIPE)
    counts = lab.count(recipe)
    assert counts["encoder"] == 3 * 4 * 16 + 4
    assert counts["decoder"] == 3


def test_training_resumes_bit_for_bit(lab):
    whole, resumed = lab("tied").whole_and_resumed(**RECIPE)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
