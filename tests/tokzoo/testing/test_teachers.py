"""The checks of teachers beside the planted faults: what passes, what is tried with what, what is not tried."""

import pytest
import timm
import torch
from kit import Kit
from safetensors.torch import save_file

from tokzoo.testing.subject import CannotBuild

KIT = Kit("teacher")


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """The fields of a real model of timm, with weights of our own making."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), path)
    return {"model": "vit_tiny_patch16_224", "image_size": 32, "weights": str(path)}


@pytest.mark.parametrize("check", KIT.checks)
def test_a_teacher_with_its_weights_passes(check, transformer):
    KIT.run(check, KIT.subject("timm", **transformer))


@pytest.mark.parametrize("check", KIT.checks)
def test_a_teacher_of_grey_images_passes(check):
    KIT.run(check, KIT.subject("fashion"))


def test_missing_weights_are_no_fault(tmp_path):
    lost = KIT.subject("timm", model="vit_tiny_patch16_224", weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(CannotBuild, match="there is no file"):
        KIT.run("features_are_as_promised", lost)
