import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tokzoo import Config, Progress, StepContext, Tokenizer, TokzooError
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


@pytest.mark.parametrize("quantizer", [None, "test/continuous"])
@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 3, 8, 8),
        torch.zeros(3, 1, 8, 16),
        torch.zeros(1, 8, 8),
        torch.zeros(3, 1, 8, 8, dtype=torch.uint8),
        torch.tensor(0.0),
    ],
)
def test_wrong_images(make_tokenizer, quantizer, wrong):
    with pytest.raises(
        TokzooError, match=r"expected images \[B, 1, 8, 8\] of floating point in \[-1, 1\], found torch"
    ):
        make_tokenizer(quantizer).reconstruct(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 16, dtype=torch.int32),
        torch.zeros(2, 16),
        torch.zeros(2, 15, dtype=torch.int64),
        torch.zeros(16, dtype=torch.int64),
        torch.zeros(2, 16, 1, dtype=torch.int64),
        torch.tensor(0),
    ],
)
def test_wrong_codes(make_tokenizer, wrong):
    with pytest.raises(TokzooError, match=r"expected codes \[B, 16\] of int64, found torch\."):
        make_tokenizer().decode(wrong)


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
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_weights(folder, **changes):
    weights = load_file(folder / WEIGHTS)
    save_file({name: tensor for name, tensor in {**weights, **changes}.items() if tensor is not None}, folder / WEIGHTS)


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
    content = json.loads(description.read_text())
    content["recipe"]["regularizers"] = {"mine": {"use": "somebody/loss", "weight": 2.0}}
    description.write_text(json.dumps(content))
    loaded = Tokenizer.load(tmp_path / "saved", registry)
    assert torch.equal(loaded.encode(images), saved.eval().encode(images))
    assert not loaded.recipe.regularizers


class Steps(Config):
    steps: int = 4


def test_how_it_draws_is_kept_where_a_regularizer_is_not_known(saved, registry, tmp_path, monkeypatch):
    monkeypatch.setattr(type(saved.recipe.decoder.config), "sampler", Steps)
    description = tmp_path / "saved" / DESCRIPTION
    recipe = json.loads(description.read_text())["recipe"]
    edit(
        description, recipe={**recipe, "regularizers": {"mine": "somebody/loss"}, "sampler": {"decoder": {"steps": 7}}}
    )
    loaded = Tokenizer.load(tmp_path / "saved", registry)
    assert not loaded.recipe.regularizers
    assert loaded.sampler == Steps(steps=7)
