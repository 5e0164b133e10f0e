"""Real networks of torchvision with weights of our own making, since none can be downloaded here."""

import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file
from torchvision import models

from tokzoo import HiddenSpec, ImageSpec
from tokzoo.contracts.errors import TokzooError
from tokzoo_teachers.torchvision_config import TorchvisionConfig
from tokzoo_teachers.torchvision_teacher import TorchvisionTeacher

IMAGE = ImageSpec(3, (32, 32))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    network = models.resnet18(weights=None)
    with torch.no_grad():  # statistics that are not those of the batch
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def weights(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save(original.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def make(**fields):
    config = TorchvisionConfig(**{"model": "resnet18", "node": "layer3", "image_size": 64, **fields})
    teacher = TorchvisionTeacher(config, IMAGE)
    teacher.start()
    return teacher.eval()


def prepared(images, size):
    pixels = F.interpolate((images + 1) / 2, (size, size), mode="bilinear", align_corners=False, antialias=False)
    return (pixels - MEAN) / STD


def test_activations_at_the_node_row_by_row(original, weights, images):
    teacher = make(weights=weights)
    with torch.no_grad():
        x = original.maxpool(original.relu(original.bn1(original.conv1(prepared(images, 64)))))
        wanted = original.layer3(original.layer2(original.layer1(x)))
        ours = teacher(images)
    assert wanted.shape == (2, 256, 4, 4)
    torch.testing.assert_close(ours, wanted.permute(0, 2, 3, 1).reshape(2, 16, 256))
    assert teacher.config.hidden_spec(IMAGE) == HiddenSpec((4, 4), 256)
    assert not [name for name in teacher.state_dict() if "layer4" in name or "fc" in name]


def test_patch_tokens_of_a_transformer_without_its_class_token(images, tmp_path, monkeypatch):
    torch.manual_seed(0)
    small = models.VisionTransformer(64, 16, 1, 2, 32, 64).eval()
    torch.nn.init.normal_(small.encoder.pos_embedding)
    save_file(small.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(models, "get_model", lambda name, weights: models.VisionTransformer(64, 16, 1, 2, 32, 64))
    teacher = make(model="vit_b_16", node="encoder.ln", dim=32, weights=str(tmp_path / "model.safetensors"))
    seen = []
    small.encoder.register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        small(prepared(images, 64))
        torch.testing.assert_close(teacher(images), seen[0][:, 1:])


@pytest.mark.parametrize(
    ("model", "node", "side", "dim"),
    [
        ("resnet34", "layer2", 28, 128),
        ("resnet50", "layer1", 56, 256),
        ("resnet101", "layer4", 7, 2048),
        ("wide_resnet50_2", "layer3", 14, 1024),
        ("resnext50_32x4d", "layer4", 7, 2048),
        ("vgg16", "features.3", 224, 64),
        ("vgg16", "features.8", 112, 128),
        ("vgg16", "features.15", 56, 256),
        ("vgg16", "features.22", 28, 512),
        ("vgg16", "features.29", 14, 512),
        ("convnext_tiny", "features.7", 7, 768),
        ("convnext_base", "features.5", 14, 512),
        ("convnext_large", "features.1", 56, 192),
        ("vit_b_16", "encoder.ln", 14, 768),
        ("vit_l_32", "encoder.ln", 7, 1024),
        ("vit_h_14", "encoder.ln", 16, 1280),
    ],
)
def test_shapes_known_from_the_name_are_those_of_the_network(model, node, side, dim):
    tag = "IMAGENET1K_SWAG_LINEAR_V1" if model == "vit_h_14" else "IMAGENET1K_V1"
    config = TorchvisionConfig(model=model, node=node, pretrained=tag)
    assert config.hidden_spec(IMAGE) == HiddenSpec((side, side), dim)
    with torch.device("meta"):
        teacher = TorchvisionTeacher(config, IMAGE).eval()
        assert teacher(torch.empty(2, 3, 32, 32)).shape == (2, side * side, dim)


def test_other_nodes_have_their_shape_said(images, weights):
    with pytest.raises(ValidationError, match=r"'resnet18 at layer3\.0\.relu' does not tell its stride: give stride"):
        make(node="layer3.0.relu", weights=weights)
    with torch.no_grad():
        assert make(node="layer3.0.relu", stride=16, dim=256, weights=weights)(images).shape == (2, 16, 256)


@pytest.mark.parametrize("size", [100, 16])
def test_cells_fill_the_image(size):
    with pytest.raises(ValidationError, match=r"not a multiple of the stride 32|smaller than a stride of 32"):
        TorchvisionConfig(image_size=size)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "resnet81", "stride": 16, "dim": 256}, "knows no model 'resnet81'; did you mean 'resnet18'"),
        ({"pretrained": "IMAGENET1K_V9"}, "no weights 'IMAGENET1K_V9' of resnet18; did you mean 'IMAGENET1K_V1'"),
        ({"node": "layr3", "stride": 16, "dim": 256}, "resnet18 has no node 'layr3'; did you mean 'layer3'"),
        ({"node": "end", "stride": 16, "dim": 256}, "no node 'end'; its parts are x, conv1, .*layer4, avgpool, "),
        ({"dim": 100}, "gives 256 channels in a 4×4 grid, .* promises 100 in 4×4: set stride: 16 and dim: 256"),
        ({"stride": 8}, "promises 256 in 8×8: set stride: 16"),
        ({"node": "avgpool", "stride": 16, "dim": 512}, "gives 512 channels in a 1×1 grid"),
        ({"node": "flatten", "stride": 16, "dim": 512}, r"shape \[512\], which are not 512 channels in a 4×4 grid"),
        ({"model": "vit_b_32", "node": "encoder.ln"}, "takes no images of 64×64: Wrong image height"),
        ({"weights": "none.pth"}, r"no file none.pth; it should be https://download.pytorch.org/models/resnet18-"),
    ],
)
def test_networks_that_are_not_what_the_config_says(fields, message):
    with pytest.raises(TokzooError, match=message):
        make(**fields)


def test_weights_of_something_else(weights):
    with pytest.raises(TokzooError, match=r"is not of resnet34 \(RuntimeError: .*Missing key"):
        make(model="resnet34", weights=weights)


def test_weights_from_the_cache_of_torch_hub(original, images, weights, monkeypatch):
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda self, **options: original.state_dict())
    with torch.no_grad():
        assert torch.equal(make()(images), make(weights=weights)(images))


def test_offline_without_weights_is_one_clear_error(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(TokzooError) as one:
        make()
    assert "the weights of resnet18 are not at hand and cannot be fetched (URLError: " in str(one.value)
    assert "download https://download.pytorch.org/models/resnet18-f37072fd.pth and set the teacher's" in str(one.value)


def test_the_config_imports_no_torch():
    script = (
        "import sys; from tokzoo import ImageSpec; from tokzoo_teachers.torchvision_config import TorchvisionConfig as "
        "C; C().hidden_spec(ImageSpec(3, (256, 256))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
