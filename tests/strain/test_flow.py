import torch

import tokzoo

RECIPE = {
    "quantizer": "tokzoo-testing/nearest",
    "decoder": "strain/flow",
    "regularizers": {"l2": {"use": "l2", "weight": 0.0}},
}


def test_it_learns_by_its_own_loss_and_draws_each_image_from_its_seed(lab):
    lab = lab("flow")
    tokenizer = lab.tokenizer(**RECIPE)
    assert lab.events[-1]["decoder.flow"] > 0
    codes = tokenizer.encode(lab.images)
    twice, other = (tokenizer.decode(codes[:1].repeat(2, 1), torch.tensor(seeds)) for seeds in ([3, 3], [3, 4]))
    torch.testing.assert_close(twice[0], twice[1])
    torch.testing.assert_close(other[0], twice[0])
    assert (other[1] - other[0]).abs().max() > 0.1
    assert lab.tokenizer(**RECIPE, sampler={"decoder": {"steps": 9}}).sampler.steps == 9


def test_more_steps_draw_other_images_and_train_nothing(lab, run_cell):
    lab = lab("flow", image=tokzoo.ImageSpec(1, (32, 32)))
    first, second = (run_cell(lab, **RECIPE, sampler={"decoder": {"steps": steps}}) for steps in (1, 4))
    assert first.record.stages["tokenizer"] == second.record.stages["tokenizer"]
    assert first.record.stages["reconstruction"] != second.record.stages["reconstruction"]
    assert first.record.recipe.hash != second.record.recipe.hash
    psnr = [cell.record.metrics["reconstruction.psnr"].value for cell in (first, second)]
    assert psnr[0] != psnr[1]
    assert len(list(first.folder.parent.iterdir())) == 1


def test_it_keeps_to_the_kit(lab):
    assert not lab("flow").conformance("decoder", "strain/flow")
