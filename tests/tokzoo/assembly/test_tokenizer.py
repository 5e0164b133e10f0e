import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tokzoo import Config, Progress, StepContext, Tokenizer, TokzooError
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.tensors import save_tensors
from tokzoo.recipes.saved import DESCRIPTION, WEIGHTS
from tokzoo.registry.catalogue import Catalogue

FULL_VQ = {"use": "vq", "codes": 16, "dim": 4, "warmup": 2, "kmeans": True, "revive": {}}


@pytest.mark.parametrize(
    ("quantizer", "shape"),
    [
        ({"use": "vq", "codes": 16, "dim": 4}, (3, 16)),
        ({"use": "fsq", "levels": [3, 4]}, (3, 16)),
        ("test/two-levels", (3, 16, 2)),
    ],
    ids=["vq", "fsq", "two levels"],
)
def test_images_to_codes_and_back(make_tokenizer, images, quantizer, shape):
    tokenizer = make_tokenizer(quantizer, map_channels=4)
    codes = tokenizer.encode(images)
    assert codes.shape == shape
    assert codes.dtype == torch.int64
    decoded = tokenizer.decode(codes)
    assert decoded.shape == images.shape
    assert not codes.requires_grad
    assert not decoded.requires_grad
    reconstructed, again = tokenizer.reconstruct(images)
    assert torch.equal(again, codes)
    assert torch.equal(reconstructed, decoded)


def test_decoded_images_are_clamped(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.decoder.cnn.conv_out.bias.data += 9
    assert torch.equal(tokenizer.decode(torch.zeros(1, 16, dtype=torch.int64)), torch.ones(1, 1, 8, 8))


def test_continuous(make_tokenizer, images):
    tokenizer = make_tokenizer("test/continuous")
    reconstructed, codes = tokenizer.reconstruct(images)
    assert codes is None
    assert reconstructed.shape == images.shape
    with pytest.raises(TokzooError, match="there are no codes: quantizer 'test/continuous' is continuous"):
        tokenizer.encode(images)
    with pytest.raises(TokzooError, match="continuous: there are no codes to decode"):
        tokenizer.decode(torch.zeros(1, 16, dtype=torch.int64))


def test_codes_asked_for_in_the_unquantized_warmup(make_tokenizer, images):
    tokenizer = make_tokenizer(FULL_VQ).train()
    tokenizer.quantizer.before_step(StepContext(Progress(0, 10)))
    with pytest.raises(TokzooError, match=r"quantizer 'vq' is in its unquantized warm-up: call eval\(\) first"):
        tokenizer.encode(images)
    assert tokenizer.eval().encode(images).shape == (3, 16)


AS = r"expected images [B, 1, 8, 8] of floating point in [-1, 1] or of uint8, a tensor or an array; or PIL images"


@pytest.mark.parametrize("quantizer", [None, "test/continuous"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (torch.zeros(3, 3, 8, 8), f"{AS}; found torch.float32 [3, 3, 8, 8]"),
        (torch.zeros(3, 1, 8, 16), f"{AS}; found torch.float32 [3, 1, 8, 16]"),
        (torch.zeros(1, 8, 8), f"{AS}; found torch.float32 [1, 8, 8]"),
        (torch.tensor(0.0), f"{AS}; found torch.float32 []"),
        (torch.zeros(3, 1, 8, 8, dtype=torch.int64), f"{AS}; found torch.int64 [3, 1, 8, 8]"),
        (np.zeros((3, 1, 8, 8), np.int64), f"{AS}; found numpy int64 [3, 1, 8, 8]"),
        (np.zeros((3, 8, 8, 1), np.uint8), f"{AS}; found numpy uint8 [3, 8, 8, 1] (channels must come first)"),
        (np.zeros((3, 1, 8, 8), bool), f"{AS}; found numpy bool [3, 1, 8, 8]"),
        (["photo.png"], f"{AS}; found a list of str"),
        ([], f"{AS}; found a list of nothing"),
        (torch.zeros(0, 1, 8, 8), "expected at least one image, found none"),
        ("photo.png", f"{AS}; found str"),
        (Image.new("F", (8, 8)), "a picture of mode F: cannot be decoded (floating-point pixels have no defined range"),
        (
            torch.full((1, 1, 8, 8), 255.0),
            "from 255 to 255; scale or clamp them, or give those of 0 to 255 as uint8",
        ),
        (np.full((1, 1, 8, 8), np.nan), "images of floating point are in [-1, 1], and these reach from nan to nan"),
        (torch.full((1, 1, 8, 8), -1.1), "these reach from -1.1 to -1.1"),
    ],
)
def test_wrong_images(make_tokenizer, quantizer, wrong, told):
    with pytest.raises(TokzooError, match=re.escape(told)):
        make_tokenizer(quantizer).reconstruct(wrong)


def test_images_are_taken_in_any_form(make_tokenizer):
    tokenizer = make_tokenizer()
    levels = torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8)
    codes = tokenizer.encode(levels / 127.5 - 1)
    pictures = [Image.fromarray(each[0].numpy()) for each in levels]
    reversed_twice = levels.numpy()[..., ::-1].copy()[..., ::-1]
    for same in (
        levels,
        reversed_twice,
        (levels / 127.5 - 1).double(),
        (levels.numpy() / 127.5 - 1).astype(">f8"),
        pictures,
        tuple(picture.convert("RGB") for picture in pictures),
    ):
        assert torch.equal(tokenizer.encode(same), codes)
    assert torch.equal(tokenizer.encode(pictures[0]), codes[:1])
    assert tokenizer.encode(Image.new("CMYK", (30, 20))).shape == (1, 16)
    assert tokenizer.encode(torch.ones(1, 1, 8, 8) + 1e-6).shape == (1, 16)


def test_a_picture_is_turned_upright_and_stays_as_it_is(make_tokenizer):
    tokenizer = make_tokenizer()
    upright = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    assert torch.equal(tokenizer.encode(turned), tokenizer.encode(upright))
    assert turned.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (torch.zeros(2, 16), "torch.float32 [2, 16]"),
        (np.zeros((2, 16)), "numpy float64 [2, 16]"),
        (torch.zeros(2, 16, dtype=torch.bool), "torch.bool [2, 16]"),
        (torch.zeros(2, 15, dtype=torch.int64), "torch.int64 [2, 15]"),
        (np.zeros((2, 15), np.int64), "numpy int64 [2, 15]"),
        (torch.zeros(16, dtype=torch.int64), "torch.int64 [16]"),
        (torch.zeros(2, 16, 1, dtype=torch.int64), "torch.int64 [2, 16, 1]"),
        (torch.tensor(0), "torch.int64 []"),
        ([[0] * 16], "a list of list"),
        (None, "NoneType"),
    ],
)
def test_wrong_codes(make_tokenizer, wrong, found):
    with pytest.raises(TokzooError, match=re.escape(f"expected codes [B, 16] of integers, found {found}")):
        make_tokenizer().decode(wrong)


def test_codes_are_integers_of_any_type(make_tokenizer):
    tokenizer = make_tokenizer()
    codes = torch.randint(16, (2, 16))
    images = tokenizer.decode(codes)
    for same in (codes.int(), codes.to(torch.uint8), codes.numpy(), codes.numpy().astype(">u2")):
        assert torch.equal(tokenizer.decode(same), images)


@pytest.mark.parametrize(("code", "right"), [(-1, False), (0, True), (15, True), (16, False)])
def test_vocabulary(make_tokenizer, code, right):
    codes = torch.zeros(2, 16, dtype=torch.int64)
    codes[1, 7] = code
    if right:
        make_tokenizer().decode(codes)
    else:
        with pytest.raises(TokzooError, match="codes outside the vocabulary: 4×4 codes of 16"):
            make_tokenizer().decode(codes)


def test_vocabulary_of_each_level(make_tokenizer):
    tokenizer = make_tokenizer("test/two-levels", map_channels=4)
    codes = torch.tensor([2, 4]).expand(1, 16, 2)
    tokenizer.decode(codes)
    with pytest.raises(TokzooError, match="outside the vocabulary"):
        tokenizer.decode(codes.flip(-1))  # 4 is too much for the first


@pytest.fixture
def saved(make_tokenizer, tmp_path):
    tokenizer = make_tokenizer(FULL_VQ, {"l1": "l1", "entropy": {"use": "entropy", "weight": 0.1}})
    tokenizer.save(tmp_path / "saved")
    return tokenizer


def test_saved_and_loaded_is_bit_identical(saved, registry, tmp_path, images):
    loaded = Tokenizer.load(tmp_path / "saved", registry)
    assert not loaded.training
    assert loaded.chain == saved.chain
    assert loaded.recipe == saved.recipe
    assert torch.equal(loaded.encode(images), saved.encode(images))
    assert torch.equal(loaded.reconstruct(images)[0], saved.reconstruct(images)[0])
    assert Tokenizer.load(str(tmp_path / "saved")).recipe == saved.recipe  # by itself, with what is installed


def test_what_is_saved(saved, tmp_path):
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {WEIGHTS, DESCRIPTION}
    weights = load_file(tmp_path / "saved" / WEIGHTS)
    assert weights.keys() == saved.state_dict().keys()
    assert {"quantizer.usage", "quantizer.reservoir.ring"} <= {name for name, _ in saved.named_buffers()}
    assert not {name for name in weights if "usage" in name or "reservoir" in name}


def test_saved_recipe_needs_no_defaults(saved, tmp_path):
    recipe = json.loads((tmp_path / "saved" / DESCRIPTION).read_text())["recipe"]
    slots = {name: getattr(saved.recipe, name) for name in ("encoder", "quantizer", "decoder")}
    for name, slot in slots.items():
        assert recipe[name].keys() == {"use", *type(slot.config).model_fields}
    for role, slot in saved.recipe.regularizers.items():
        assert recipe["regularizers"][role].keys() == {"use", *type(slot.config).model_fields}
    assert recipe["quantizer"]["revive"].keys() == {"threshold", "decay"}
    assert recipe["train"]["tokenizer"].keys() == type(saved.recipe.train.tokenizer).model_fields.keys()


def test_tied_weights_are_saved(make_tokenizer, registry, tmp_path, images):
    tokenizer = make_tokenizer()
    tokenizer.encoder.transformer.grid_position = tokenizer.decoder.transformer.grid_position
    tokenizer.save(tmp_path)
    assert torch.equal(Tokenizer.load(tmp_path, registry).encode(images), tokenizer.encode(images))


def edit(path, **changes):
    write_checked(path, {**read_checked(path), **changes})


def flip(path, at):
    """Another bit in one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def replace_weights(folder, **changes):
    weights = load_file(folder / WEIGHTS)
    changed = {name: tensor for name, tensor in {**weights, **changes}.items() if tensor is not None}
    save_tensors(changed, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / WEIGHTS).unlink(), "not a saved tokenizer"),
        (lambda f: (f / DESCRIPTION).unlink(), "not a saved tokenizer"),
        (lambda f: edit(f / DESCRIPTION, format="tokzoo.tokenizer/9"), "this reads tokzoo.tokenizer/1"),
        (lambda f: edit(f / DESCRIPTION, image=None), "not the description of a saved tokenizer"),
        (lambda f: (f / DESCRIPTION).write_text("{"), "not the description of a saved tokenizer"),
        (lambda f: (f / DESCRIPTION).write_text("[]"), "not the description of a saved tokenizer"),
        (lambda f: (f / DESCRIPTION).write_text("{}"), "not the description of a saved tokenizer"),
        (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:999]), "not a whole file of weights"),
        (lambda f: (f / WEIGHTS).write_bytes(b""), "not a whole file of weights"),
        (lambda f: flip(f / WEIGHTS, -1), r"not a whole file of weights \(it is not what was written\)"),
        (
            lambda f: (f / DESCRIPTION).write_text((f / DESCRIPTION).read_text().replace('"heads": 2', '"heads": 4')),
            r"not the description of a saved tokenizer \(it is not what was written\)",
        ),
        (lambda f: replace_weights(f, **{"quantizer.codebook": torch.zeros(17, 4)}), "of another model.*codebook"),
        (lambda f: replace_weights(f, **{"quantizer.codebook": None}), "of another model.*codebook"),
        (lambda f: replace_weights(f, **{"quantizer.more": torch.zeros(1)}), "of another model.*quantizer.more"),
    ],
)
def test_harmed_folders(saved, registry, tmp_path, harm, message):
    harm(tmp_path / "saved")
    with pytest.raises(TokzooError, match=f"(?s){message}"):
        Tokenizer.load(tmp_path / "saved", registry)


def test_no_folder(tmp_path, registry):
    with pytest.raises(TokzooError, match="not a saved tokenizer"):
        Tokenizer.load(tmp_path / "none", registry)


def test_component_that_is_not_installed(saved, registry, tmp_path):
    poorer = Catalogue()
    for entry in registry.components:
        if entry.spec.name != "vq":
            poorer.add(entry)
    with pytest.raises(TokzooError, match=r"quantizer\.use: quantizer 'vq': unknown; .*tokenizer\.json"):
        Tokenizer.load(tmp_path / "saved", type(registry)(components=poorer))


def test_a_regularizer_that_is_not_known_here_does_not_matter(saved, registry, tmp_path, images):
    saved.save(tmp_path / "saved")
    description = tmp_path / "saved" / "tokenizer.json"
    recipe = read_checked(description)["recipe"]
    edit(description, recipe={**recipe, "regularizers": {"mine": {"use": "somebody/loss", "weight": 2.0}}})
    loaded = Tokenizer.load(tmp_path / "saved", registry)
    assert torch.equal(loaded.encode(images), saved.eval().encode(images))
    assert not loaded.recipe.regularizers


class Steps(Config):
    steps: int = 4


def test_how_it_draws_is_kept_where_a_regularizer_is_not_known(saved, registry, tmp_path, monkeypatch):
    monkeypatch.setattr(type(saved.recipe.decoder.config), "sampler", Steps)
    description = tmp_path / "saved" / DESCRIPTION
    recipe = read_checked(description)["recipe"]
    edit(
        description, recipe={**recipe, "regularizers": {"mine": "somebody/loss"}, "sampler": {"decoder": {"steps": 7}}}
    )
    loaded = Tokenizer.load(tmp_path / "saved", registry)
    assert not loaded.recipe.regularizers
    assert loaded.sampler == Steps(steps=7)
