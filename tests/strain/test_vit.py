import pytest
import torch
from safetensors.torch import save_file

import tokzoo

REST = {"quantizer": "tokzoo-testing/nearest"}
GREY = tokzoo.ImageSpec(1, (32, 32))
VIT = {"use": "strain/vit", "patch": 8}


@pytest.fixture
def pretrained(tmp_path):
    """A function from a lab to a file of weights for its images, and them."""

    def make(lab):
        slot = lab.recipe(encoder={**VIT}, **REST).encoder
        weights = slot.config.network(lab.image).state_dict()
        save_file(weights, tmp_path / "vit.safetensors")
        return tmp_path / "vit.safetensors", weights

    return make


@pytest.mark.parametrize("frozen", [True, False])
def test_it_starts_from_the_file_frozen_or_tuned_and_is_then_by_itself(lab, pretrained, frozen):
    lab = lab("vit", image=GREY)
    path, weights = pretrained(lab)
    encoder = {**VIT, "weights": str(path)}
    train = {"tokenizer": {"parts": {"encoder": {"stop": 0}}}} if frozen else {}
    lab.tokenizer(encoder=encoder, train=train, **REST)
    path.unlink()
    tokenizer = tokzoo.Tokenizer.load(lab.folder / "tokenizer", lab.registry)
    assert tokenizer.encode(lab.images).shape == (12, 16)
    assert tokenizer.recipe.encoder.identity()["config"]["weights"].startswith("sha256:")
    same = [torch.equal(tokenizer.encoder.network.state_dict()[name], each) for name, each in weights.items()]
    assert all(same) if frozen else not any(same)
    with pytest.raises(tokzoo.TokzooError, match=r"encoder\.weights: there is no file"):
        lab.task(lab.recipe(encoder=encoder, **REST))


def test_other_weights_are_another_recipe_and_a_judged_tokenizer_needs_them_no_more(lab, pretrained, run_cell):
    lab = lab("vit", image=GREY)
    path, _ = pretrained(lab)
    encoder = {**VIT, "weights": str(path)}
    first = run_cell(lab, encoder=encoder, **REST)
    assert str(path) not in first.record.model_dump_json()
    pretrained(lab)
    assert run_cell(lab, encoder=encoder, **REST).record.stages["tokenizer"] != first.record.stages["tokenizer"]
    path.unlink()
    again = run_cell(lab, encoder=VIT, weights=str(first.folder), **REST)
    assert again.record.metrics["reconstruction.psnr"].value == first.record.metrics["reconstruction.psnr"].value
