"""A real model of timm with weights of our own making, since none can be downloaded here."""

import subprocess
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file

from tests.conftest import told_offline
from tokzoo import ComponentSpec, HiddenSpec, ImageSpec, Refusal
from tokzoo.assembly.build import build_teacher
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.slots import Slot
from tokzoo.registry.catalogue import Entry
from tokzoo_teachers.timm_config import TimmConfig
from tokzoo_teachers.timm_teacher import TimmTeacher

MODEL = "vit_tiny_patch16_224"
IMAGE = ImageSpec(3, (32, 32))
SPEC = ComponentSpec(
    "teacher", "timm", TimmConfig, "tokzoo_teachers.timm_teacher:TimmTeacher", "patch tokens of a model of timm"
)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return timm.create_model(MODEL, pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(original.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def teacher(weights):
    return make(weights=weights)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def make(image=IMAGE, **fields):
    """A teacher as the assembly builds and starts it, of small images so that it is quick."""
    config = TimmConfig(**{"model": MODEL, "image_size": 64, **fields})
    teacher = build_teacher(Slot("teacher", Entry(SPEC, "test"), config), image)
    teacher.start()
    return teacher


def test_patch_tokens_after_the_last_norm(original, weights, images):
    teacher = make(weights=weights, image_size=224)
    pixels = ((images + 1) / 2 - 0.5) / 0.5  # this model's mean and deviation
    pixels = F.interpolate(pixels, (224, 224), mode="bicubic", align_corners=False, antialias=False)
    with torch.no_grad():
        ours, wanted = teacher(images), original.forward_features(pixels)
    assert ours.shape == (2, 14 * 14, 192)
    torch.testing.assert_close(ours, wanted[:, 1:])
    torch.testing.assert_close(ours.mean(-1), torch.zeros(2, 14 * 14), atol=1e-5, rtol=0)
    assert teacher.config.hidden_spec(IMAGE) == HiddenSpec((14, 14), 192)


def test_images_are_normalised_as_dinov2_was_trained_and_its_prefix_dropped(images):
    seen = []
    teacher = TimmTeacher.__new__(TimmTeacher)
    torch.nn.Module.__init__(teacher)
    about = timm.get_pretrained_cfg("vit_base_patch14_dinov2.lvd142m")
    teacher.config = TimmConfig()
    teacher.mean, teacher.std = (torch.tensor(values).view(3, 1, 1) for values in (about.mean, about.std))
    teacher.network = torch.nn.Module()
    teacher.network.num_prefix_tokens = 5
    teacher.network.forward_features = lambda pixels: seen.append(pixels) or torch.arange(9.0).view(1, 9, 1)
    assert torch.equal(teacher(images), torch.arange(5.0, 9.0).view(1, 4, 1))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    wanted = F.interpolate(((images + 1) / 2 - mean) / std, 224, mode="bicubic", align_corners=False)
    torch.testing.assert_close(seen[0], wanted)


@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("vit_small_patch14_dinov2.lvd142m", "normalise"),
        ("vit_small_patch14_reg4_dinov2.lvd142m", "normalise"),
        ("vit_small_patch16_dinov3.lvd1689m", "resize"),
        ("vit_base_patch16_siglip_224.webli", "resize"),
        ("vit_base_patch16_clip_224.openai", "resize"),
        ("vit_base_patch16_224.mae", "resize"),
    ],
)
def test_what_is_done_first_to_an_image_follows_the_family(model, first):
    assert TimmConfig(model=model).normalises_first == (first == "normalise")
    for order in ("normalise", "resize"):
        assert TimmConfig(model=model, order=order).normalises_first == (order == "normalise")


def test_the_order_is_that_of_the_config(weights):
    done = []
    for order in ("normalise", "resize"):
        teacher = make(weights=weights, order=order)
        teacher._normalise = lambda pixels: done.append("normalise") or pixels
        teacher._resize = lambda pixels: done.append("resize") or F.interpolate(pixels, (64, 64))
        teacher(torch.zeros(1, 3, 32, 32))
    assert done == ["normalise", "resize", "resize", "normalise"]


def test_positions_are_resampled_to_the_image_size(teacher, images):
    with torch.no_grad():
        assert teacher(images).shape == (2, 16, 192)
    assert teacher.config.hidden_spec(IMAGE) == HiddenSpec((4, 4), 192)


def test_one_channel_is_seen_as_grey(weights, teacher, images):
    grey = images[:, :1]
    alone = make(ImageSpec(1, (32, 32)), weights=weights)
    with torch.no_grad():
        torch.testing.assert_close(alone(grey), teacher(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(Refusal, match="1 or 3 channels"):
        TimmConfig(model=MODEL).hidden_spec(ImageSpec(2, (32, 32)))


def test_frozen_but_differentiable_in_the_images(teacher, images):
    ours = images.clone().requires_grad_()
    teacher(ours).square().mean().backward()
    assert ours.grad.abs().sum() > 0
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_full_precision_on_a_cpu_whatever_is_around(teacher, images):
    with torch.no_grad():
        exact = teacher(images)
        with torch.autocast("cpu", torch.bfloat16):
            within = teacher(images)
            rounded = teacher(images.bfloat16())
        assert torch.equal(rounded, teacher(images.bfloat16().float()))
    assert torch.equal(within, exact)


def test_follows_a_change_of_type(weights, images):
    double = make(weights=weights).double()
    with torch.no_grad():
        assert double(images).dtype == torch.float64


def test_files_of_torch_and_nested_weights(original, teacher, images, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": original.state_dict()}, path)
    with torch.no_grad():
        assert torch.equal(make(weights=str(path))(images), teacher(images))


def test_the_weights_are_those_of_the_file_and_held_once(original, teacher):
    assert torch.equal(teacher.network.blocks[3].mlp.fc1.weight, original.blocks[3].mlp.fc1.weight)
    assert "state_dict" not in teacher.network.pretrained_cfg
    assert not [name for name in teacher.state_dict() if not name.startswith("network.")]


def test_weights_that_do_not_fit_are_never_completed_at_random(original, tmp_path):
    state = original.state_dict()
    path = tmp_path / "model.safetensors"
    save_file({name: tensor for name, tensor in state.items() if name != "norm.bias"}, path)
    with pytest.raises(TokzooError, match=r'is not of vit_tiny_patch16_224 .*"norm.bias"'):
        make(weights=str(path))
    save_file({**state, "extra.weight": torch.zeros(1)}, path)
    with pytest.raises(TokzooError, match=r'Unexpected key.*"extra.weight"'):
        make(weights=str(path))
    path.write_bytes(b"not weights")
    with pytest.raises(TokzooError, match="is not of vit_tiny_patch16_224"):
        make(weights=str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TokzooError, match=r"no file .*none\.pth; it should be model\.safetensors of https://hugg"):
        make(weights=str(tmp_path / "none.pth"))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": SPEC}, path)
    with pytest.raises(TokzooError, match="weights_only"):
        make(weights=str(path))


def test_offline_without_weights_is_one_clear_error(tmp_path):
    imports = (
        "from tokzoo import ImageSpec\n"
        "from tokzoo_teachers.timm_config import TimmConfig\n"
        "from tokzoo_teachers.timm_teacher import TimmTeacher\n"
    )
    start = f"TimmTeacher(TimmConfig(model='{MODEL}'), ImageSpec(3, (32, 32))).start()"
    told = told_offline(tmp_path, imports, start)
    assert f"the weights of {MODEL} are not at hand" in told
    assert f"download model.safetensors of https://huggingface.co/timm/{MODEL}" in told
    assert "set the teacher's weights to its path" in told


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "vit_tinny_patch16_224", "dim": 192}, "did you mean 'vit_tiny_patch16_224'"),
        ({"model": "vit_base_patch14_dinov2.lvd"}, "no weights 'lvd' .* known: lvd142m"),
        ({"model": MODEL, "dim": 200}, "gives 192 channels in a 4×4 grid, .* set patch: 16 and dim: 192"),
        ({"model": MODEL, "patch": 8}, "promises 192 in 8×8: set patch: 16"),
        ({"model": "resnet18", "patch": 16, "dim": 512}, "resnet18 serves no patch tokens"),
    ],
)
def test_models_that_are_not_what_the_config_says(fields, message):
    with pytest.raises(TokzooError, match=message):
        make(**fields)


@pytest.mark.parametrize(
    ("model", "image_size", "side", "dim"),
    [
        ("vit_small_patch14_dinov2.lvd142m", 224, 16, 384),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 224, 16, 384),
        ("vit_base_patch14_reg4_dinov2.lvd142m", 518, 37, 768),
        ("vit_giant_patch14_dinov2.lvd142m", 224, 16, 1536),
        ("vit_large_patch14_clip_224.dfn2b", 224, 16, 1024),
        ("vit_so400m_patch14_siglip_224", 224, 16, 1152),
        ("deit_base_distilled_patch16_224", 224, 14, 768),
        ("vit_giant_patch14_reg4_dinov2.lvd142m", 224, 16, 1536),
        ("vit_giant_patch14_clip_224.laion2b", 224, 16, 1408),
        ("vit_base_patch16_plus_clip_240.laion400m_e32", 240, 15, 896),
        ("vit_base_patch16_siglip_512.v2_webli", 512, 32, 768),
        ("vit_giantopt_patch16_siglip_256.v2_webli", 256, 16, 1536),
        ("vit_base_patch16_224.mae", 224, 14, 768),
        ("vit_huge_patch14_224.mae", 224, 16, 1280),
        ("vit_base_patch16_dinov3", 256, 16, 768),
        ("vit_small_plus_patch16_dinov3.lvd1689m", 256, 16, 384),
        ("vit_huge_plus_patch16_dinov3.lvd1689m", 256, 16, 1280),
        ("vit_7b_patch16_dinov3.lvd1689m", 256, 16, 4096),
    ],
)
def test_shapes_read_off_the_name_are_those_of_the_model(model, image_size, side, dim):
    config = TimmConfig(model=model, image_size=image_size)
    assert config.hidden_spec(IMAGE) == HiddenSpec((side, side), dim)
    with torch.device("meta"):  # as when parameters are counted: no weights are read
        teacher = TimmTeacher(config, IMAGE).eval()
        assert teacher(torch.empty(2, 3, 32, 32)).shape == (2, side * side, dim)


def test_the_default_is_gigatoks():
    config = TimmConfig()
    assert (config.model, config.image_size, config.interpolation) == (
        "vit_base_patch14_dinov2.lvd142m",
        224,
        "bicubic",
    )
    assert config.hidden_spec(ImageSpec(3, (256, 256))) == HiddenSpec((16, 16), 768)


def test_shapes_that_no_name_tells_are_asked_for():
    with pytest.raises(ValidationError, match="does not tell its patch: give patch"):
        TimmConfig(model="vit_base", dim=768)
    with pytest.raises(ValidationError, match="does not tell its dim: give dim"):
        TimmConfig(model="vit_wee_patch16_reg1_gap_256")
    assert TimmConfig(model="vit_wee_patch16_reg1_gap_256", dim=256, image_size=256).hidden_spec(IMAGE).dim == 256
    with pytest.raises(ValidationError, match="smaller than a patch"):
        TimmConfig(image_size=8)


def test_the_config_imports_neither_torch_nor_timm():
    script = (
        "import sys; from tokzoo import ImageSpec; from tokzoo_teachers.timm_config import TimmConfig as C; "
        "C().hidden_spec(ImageSpec(3, (256, 256))); sys.exit(bool({'torch', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
