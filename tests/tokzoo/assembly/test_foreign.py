"""A format of everything: dotted places, averages under other names, patterns that are ignored, packed weights."""

from types import SimpleNamespace

import pytest
import torch

from tokzoo import CheckpointFormat, Ignored, Kept, TokzooError
from tokzoo.assembly.foreign import read_foreign, write_foreign
from tokzoo.contracts.formats import WEIGHTS
from tokzoo.contracts.specs import ImageSpec

RECIPE = SimpleNamespace(name="packed-attention")
AVERAGE = "state_dict.model_ema"


class Packed(CheckpointFormat):
    """Lightning's files: raw weights, their average under names without dots, and the loss, in one state dictionary."""

    image = ImageSpec(3, (16, 16))
    weights = (AVERAGE, "state_dict")
    written = ("state_dict", AVERAGE)

    def accepts(self, recipe):
        pass

    def kept(self, recipe, shapes):
        rows = {name: range(4 * i, 4 * i + 4) for i, name in enumerate("qkv")}
        kept = {f"tokenizer.{name}": Kept(WEIGHTS, "attn.qkv", (12, 4), rows=rows[name]) for name in "qkv"}
        kept["tokenizer.codebook"] = Kept(WEIGHTS, "quantize.weight", (5, 4))
        if "regularizers.adversarial.weight" in shapes:
            kept["regularizers.adversarial.weight"] = Kept("state_dict.loss.disc", "main.weight", (3,))
        return kept

    def ignored(self, recipe):
        return (
            Ignored(WEIGHTS, "loss.*"),
            Ignored(WEIGHTS, "model_ema.*"),
            Ignored(WEIGHTS, "*.num_batches_tracked"),
            Ignored("state_dict.loss.disc", "main.logvar", zeros=()),
            Ignored(AVERAGE, "decay"),
            Ignored(AVERAGE, "num_updates", zeros=(), dtype="int32"),
        )

    def spelling(self, place, key):
        return key.replace(".", "") if place == AVERAGE else key


WANTED = {
    **{f"tokenizer.{name}": torch.empty(4, 4, device="meta") for name in "qkv"},
    "tokenizer.codebook": torch.empty(5, 4, device="meta"),
    "regularizers.adversarial.weight": torch.empty(3, device="meta"),
}


@pytest.fixture
def released():
    raw = {"attn.qkv": torch.randn(12, 4), "quantize.weight": torch.randn(5, 4)}
    average = {f"model_ema.{key.replace('.', '')}": tensor + 1 for key, tensor in raw.items()}
    others = {
        "model_ema.decay": torch.tensor(0.9),
        "model_ema.num_updates": torch.tensor(3, dtype=torch.int32),
        "norm.num_batches_tracked": torch.tensor(7),
        "loss.disc.main.weight": torch.ones(3),
        "loss.disc.main.logvar": torch.tensor(1.0),
        "loss.perceptual.lin0": torch.ones(1),
    }
    return {"epoch": 3, "state_dict": {**raw, **average, **others}, "callbacks": {"x": object}}


def read(content, path, **options):
    torch.save(content, path)
    return read_foreign(path, Packed(), RECIPE, WANTED, **options)


@pytest.mark.parametrize(("weights", "shift"), [(None, 1), (AVERAGE, 1), ("state_dict", 0)])
def test_the_average_or_the_raw_weights(weights, shift, released, tmp_path):
    found = read(released, tmp_path / "file.ckpt", weights=weights)
    k = released["state_dict"]["attn.qkv"][4:8]
    assert found.weights == weights or found.weights == AVERAGE
    assert torch.equal(found.tensors["tokenizer.k"], k + shift)
    assert torch.equal(found.tensors["tokenizer.codebook"], released["state_dict"]["quantize.weight"] + shift)
    assert torch.equal(found.tensors["regularizers.adversarial.weight"], torch.ones(3))
    assert found.without == ()
    assert {"epoch", "callbacks"} <= set(found.unread)


def test_what_is_written_is_read_alike_from_both_places(released, tmp_path):
    first = read(released, tmp_path / "file.ckpt").tensors
    count = write_foreign(tmp_path / "back.ckpt", Packed(), RECIPE, first)
    content = torch.load(tmp_path / "back.ckpt", weights_only=True)["state_dict"]
    assert count == len(content)
    assert sorted(content) == [
        "attn.qkv",
        "loss.disc.main.logvar",
        "loss.disc.main.weight",
        "model_ema.attnqkv",
        "model_ema.num_updates",
        "model_ema.quantizeweight",
        "quantize.weight",
    ]
    assert content["model_ema.num_updates"].dtype == torch.int32
    for place in Packed.weights:
        again = read_foreign(tmp_path / "back.ckpt", Packed(), RECIPE, WANTED, place).tensors
        assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_a_file_of_nothing_but_the_weights(released, tmp_path):
    bare = {key: released["state_dict"][key] for key in ("attn.qkv", "quantize.weight", "norm.num_batches_tracked")}
    found = read(bare, tmp_path / "file.bin")
    assert (found.weights, found.without, found.unread) == ("", ("adversarial",), ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantize.weight": torch.full((5, 4), torch.nan)}, r"NaN or infinite: quantize\.weight"),
        ({"attn.qkv": torch.full((12, 4), 1e300, dtype=torch.float64)}, r"NaN or infinite: attn\.qkv$"),
        ({"quantize.weight": torch.ones(5, 4, dtype=torch.complex64)}, r"holds complex64, and needs float32"),
        ({"quantize.weight": torch.ones(5, 4, dtype=torch.int8)}, r"holds int8, and needs float32"),
        ({"quantize.weight": [1.0]}, r"quantize\.weight \(is a list, and must be a tensor\)"),
        ({"quantize.weight": None}, r"missing: quantize\.weight"),
        ({"quantize.weight": torch.ones(20)}, r"quantize\.weight \(has 20, and needs 5×4\)"),
        ({"quantize.extra": torch.ones(1), "step": 3}, r"left over: quantize\.extra, step"),
        ({"module.attn.qkv": torch.ones(12, 4)}, r"ambiguous: 'state_dict\.attn\.qkv' and 'state_dict\.module"),
        ({"loss.disc.main.weight": torch.ones(4)}, r"main\.weight \(has 4, and needs 3\)"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(change, said, released, tmp_path):
    released["state_dict"].update(change)
    with pytest.raises(TokzooError, match=said):
        read(released, tmp_path / "file.ckpt", weights="state_dict")


def test_a_format_without_a_place_for_a_tensor_is_told(released, tmp_path):
    torch.save(released, tmp_path / "file.ckpt")
    wanted = {**WANTED, "tokenizer.bias": torch.empty(1, device="meta")}
    with pytest.raises(TokzooError, match=r"no place for tokenizer\.bias"):
        read_foreign(tmp_path / "file.ckpt", Packed(), RECIPE, wanted)
