"""Small models in open_clip's own way, with weights of our own making, since none can be downloaded here."""

import json
import subprocess
import sys

import open_clip
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file

from tokzoo import HiddenSpec, ImageSpec
from tokzoo.contracts.errors import TokzooError
from tokzoo_teachers import open_clip_teacher
from tokzoo_teachers.open_clip_config import OpenClipConfig
from tokzoo_teachers.open_clip_teacher import OpenClipTeacher

IMAGE = ImageSpec(3, (32, 32))
TEXT = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1}
NATIVE = {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
OF_TIMM = {"image_size": 224, "timm_model_name": "vit_tiny_patch16_224", "timm_pool": "map", "timm_proj": "none"}
MODELS = {
    "ViT-nano-16": ({"embed_dim": 24, "vision_cfg": NATIVE}, 32),
    "ViT-nano-16-avg": (
        {"embed_dim": 24, "vision_cfg": {**NATIVE, "pool_type": "avg", "final_ln_after_pool": True}},
        32,
    ),
    "ViT-nano-16-SigLIP": ({"embed_dim": 192, "custom_text": True, "vision_cfg": OF_TIMM}, 192),
}


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory):
    """open_clip knows our models."""
    folder = tmp_path_factory.mktemp("models")
    for name, (description, _) in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps({**description, "text_cfg": TEXT}))
    known = dict(open_clip.factory._MODEL_CONFIGS)
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    open_clip.factory._MODEL_CONFIGS = known


@pytest.fixture(scope="module")
def originals(models):
    torch.manual_seed(0)
    found = {}
    for name in MODELS:
        found[name] = open_clip.create_model(name).eval()
        with torch.no_grad():  # norms that do something
            for parameter in found[name].visual.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return found


@pytest.fixture(scope="module")
def weights(originals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name, original in originals.items():
        save_file(original.state_dict(), folder / f"{name}.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in originals}


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def make(model="ViT-nano-16", **fields):
    dim = MODELS[model][1] if model in MODELS else None
    teacher = OpenClipTeacher(OpenClipConfig(**{"model": model, "dim": dim, "image_size": 64, **fields}), IMAGE)
    teacher.start()
    return teacher.eval()


def prepared(images, size, mean, std):
    pixels = F.interpolate((images + 1) / 2, (size, size), mode="bicubic", align_corners=False, antialias=False)
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIP = ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("model", "size", "statistics"),
    [("ViT-nano-16", 64, CLIP), ("ViT-nano-16-avg", 64, CLIP), ("ViT-nano-16-SigLIP", 224, SIGLIP)],
)
def test_patch_tokens_after_the_last_norm(originals, weights, images, model, size, statistics):
    teacher = make(model, weights=weights[model], image_size=size)
    with torch.no_grad():
        ours = teacher(images)
        wanted = originals[model].visual.forward_intermediates(
            prepared(images, size, *statistics),
            indices=1,
            normalize_intermediates=True,
            intermediates_only=True,
            output_fmt="NLC",
        )["image_intermediates"][0]
    assert ours.shape == (2, (size // 16) ** 2, MODELS[model][1])
    torch.testing.assert_close(ours, wanted)
    assert teacher.config.hidden_spec(IMAGE) == HiddenSpec((size // 16, size // 16), ours.shape[2])


def test_the_text_tower_is_not_held(weights, originals):
    teacher = make(weights=weights["ViT-nano-16"])
    names = {f"network.{name}" for name in originals["ViT-nano-16"].visual.state_dict()} - {"network.proj"}
    assert set(teacher.state_dict()) == names


@pytest.mark.parametrize(("model", "size"), [("ViT-nano-16", 96), ("ViT-nano-16-SigLIP", 64)])
def test_positions_are_resampled_to_the_image_size(weights, images, model, size):
    teacher = make(model, weights=weights[model], image_size=size)
    with torch.no_grad():
        assert teacher(images).shape == (2, (size // 16) ** 2, MODELS[model][1])


def test_a_tag_tells_activation_and_normalisation(weights, images, monkeypatch):
    trained = {"quick_gelu": True, "hf_hub": "some/repository/", "mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0)}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: trained)
    downloaded = []
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: downloaded.append(cfg) or weights["ViT-nano-16"])
    teacher = make(pretrained="ours")
    original = open_clip.create_model("ViT-nano-16", force_quick_gelu=True)
    original.load_state_dict(open_clip.factory.load_state_dict(weights["ViT-nano-16"]))
    original.visual.output_tokens = True
    with torch.no_grad():
        wanted = original.eval().visual(prepared(images, 64, trained["mean"], trained["std"]))[1]
        torch.testing.assert_close(teacher(images), wanted)
    assert downloaded == [trained]


def test_a_model_of_the_hub(weights, images, monkeypatch, tmp_path):
    description = {
        "model_cfg": {**MODELS["ViT-nano-16"][0], "text_cfg": TEXT},
        "preprocess_cfg": {"mean": [0.3] * 3, "std": [0.2] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(description))
    fetched = []

    def download(repository, filename=None):
        fetched.append((repository, filename))
        return tmp_path / "config.json" if filename else weights["ViT-nano-16"]

    monkeypatch.setattr(open_clip_teacher, "download_pretrained_from_hf", download)
    teacher = make("hf-hub:some/ViT-nano-16", dim=32)
    assert fetched == [("some/ViT-nano-16", "open_clip_config.json"), ("some/ViT-nano-16", None)]
    assert torch.equal(teacher.network.conv1.weight, make(weights=weights["ViT-nano-16"]).network.conv1.weight)
    torch.testing.assert_close(teacher.mean.flatten(), torch.full((3,), 0.3))
    torch.testing.assert_close(teacher.std.flatten(), torch.full((3,), 0.2))
    make("hf-hub:some/ViT-nano-16", dim=32, weights=weights["ViT-nano-16"])
    assert len(fetched) == 3  # the description alone


@pytest.mark.parametrize(
    ("model", "pretrained", "size", "side", "dim"),
    [
        ("ViT-S-32", None, 224, 7, 384),
        ("ViT-B-32", "openai", 224, 7, 768),
        ("ViT-B-16-plus-240", "laion400m_e32", 240, 15, 896),
        ("ViT-L-14", "dfn2b", 224, 16, 1024),
        ("ViT-L-14-336-quickgelu", "openai", 336, 24, 1024),
        ("ViT-H-14-CLIPA", "datacomp1b", 224, 16, 1280),
        ("ViT-g-14", "laion2b_s34b_b88k", 224, 16, 1408),
        ("ViT-B-16-SigLIP-256", "webli", 256, 16, 768),
        ("ViT-SO400M-14-SigLIP", "webli", 224, 16, 1152),
        ("ViT-gopt-16-SigLIP2-256", "webli", 256, 16, 1536),
    ],
)
def test_shapes_read_off_the_name_are_those_of_the_model(model, pretrained, size, side, dim):
    config = OpenClipConfig(model=model, pretrained=pretrained, weights=None if pretrained else "x", image_size=size)
    assert config.hidden_spec(IMAGE) == HiddenSpec((side, side), dim)
    with torch.device("meta"):
        teacher = OpenClipTeacher(config, IMAGE).eval()
        assert teacher(torch.empty(2, 3, 32, 32)).shape == (2, side * side, dim)


def test_the_default_is_gigatoks():
    config = OpenClipConfig()
    assert (config.repository, config.image_size, config.interpolation) == (
        "apple/DFN2B-CLIP-ViT-L-14",
        224,
        "bicubic",
    )
    assert not config.normalises_first
    assert config.hidden_spec(ImageSpec(3, (256, 256))) == HiddenSpec((16, 16), 1024)


@pytest.mark.parametrize(
    "name", ["hf-hub:laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "hf-hub:timm/ViT-B-16-SigLIP2-512"]
)
def test_names_of_the_hub_tell_shapes(name):
    config = OpenClipConfig(model=name)
    assert (config.side, config.channels) == ((14, 1664) if "bigG" in name else (16, 768))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "EVA02-B-16", "pretrained": "x"}, "does not tell its patch: give patch"),
        ({"model": "ViT-nano-16", "pretrained": "x"}, "does not tell its dim: give dim"),
        ({"model": "ViT-B-16"}, "ViT-B-16 has many weights: give pretrained"),
        ({"model": "hf-hub:some/ViT-B-16", "pretrained": "x"}, "brings weights of its own"),
        ({"model": "local-dir:/ViT-B-16", "weights": "x"}, "local-dir: is not for recipes"),
        ({"image_size": 8}, "smaller than a patch of 14"),
    ],
)
def test_configs_that_say_too_little_or_too_much(fields, message):
    with pytest.raises(ValidationError, match=message):
        OpenClipConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "ViT-B-33", "pretrained": "openai"}, "knows no model 'ViT-B-33'; did you mean 'ViT-B-32'"),
        ({"model": "ViT-B-32", "pretrained": "opnai"}, "knows no weights 'opnai' of ViT-B-32; known: openai, "),
        ({"model": "RN50", "pretrained": "openai", "patch": 32, "dim": 1024}, "RN50 serves no patch tokens"),
        ({"model": "coca_ViT-B-32", "pretrained": "laion2b_s13b_b90k", "patch": 32, "dim": 768}, "serves no patch"),
        ({"model": "convnext_tiny", "weights": "x", "patch": 32, "dim": 768}, "convnext_tiny serves no patch tokens"),
        ({"weights": "x", "dim": 33}, "gives 32 channels in a 4×4 grid, .* promises 33 .* set patch: 16 and dim: 32"),
        ({"weights": "x", "patch": 8}, "promises 32 in 8×8: set patch: 16"),
        ({"weights": "none.bin"}, "there is no file none.bin; it should be an open_clip_model.safetensors of this"),
        (
            {"model": "ViT-L-14", "pretrained": "dfn2b", "weights": "none.bin", "image_size": 224},
            "should be open_clip_model.safetensors of https://huggingface.co/apple/DFN2B-CLIP-ViT-L-14$",
        ),
    ],
)
def test_models_that_are_not_what_the_config_says(fields, message):
    with pytest.raises(TokzooError, match=message):
        make(**fields)


def test_weights_of_something_else(weights, tmp_path):
    with pytest.raises(TokzooError, match=r"is not of ViT-nano-16 \(RuntimeError: .*Missing key"):
        make(weights=weights["ViT-nano-16-SigLIP"])
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(TokzooError, match="is not of ViT-nano-16"):
        make(weights=str(path))


def test_offline_without_weights_is_one_clear_error(monkeypatch, tmp_path):
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path), raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TokzooError) as one:
        make("ViT-B-32", pretrained="laion2b_s34b_b79k")
    assert "the weights of ViT-B-32 are not at hand and cannot be fetched" in str(one.value)
    assert "of https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K and set the teacher's weights" in str(
        one.value
    )
    with pytest.raises(TokzooError) as one:
        make("hf-hub:apple/DFN2B-CLIP-ViT-L-14")
    assert "open_clip_config.json of https://huggingface.co/apple/DFN2B-CLIP-ViT-L-14 is not at hand" in str(one.value)
    assert "name the model as open_clip does (such as ViT-L-14 with pretrained: dfn2b)" in str(one.value)


def test_the_config_imports_neither_torch_nor_open_clip():
    script = (
        "import sys; from tokzoo import ImageSpec; from tokzoo_teachers.open_clip_config import OpenClipConfig as C; "
        "C().hidden_spec(ImageSpec(3, (256, 256))); sys.exit(bool({'torch', 'open_clip'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
