"""Released checkpoints in, our tokenizers out, and back again: on the weights of the golden files."""

import argparse
from pathlib import Path

import pytest
import torch
import typer
import yaml
from goldens import DATA, OWN, read, tokenizer_recipe
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tokzoo import Refusal, TokzooError
from tokzoo.assembly.released import import_checkpoint
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.cli.checkpoints import export, import_
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.tensors import save_tensors
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.saved import REGULARIZERS, WEIGHTS
from tokzoo.registry.plugins import load_registry
from tokzoo_gigatok.checkpoint import GigaTokCheckpoint

STORED = DATA / "plugins" / "stored_teacher.py"
REGISTRY = load_registry([STORED])
IMAGE = ImageSpec(3, (16, 16))

app = typer.Typer(pretty_exceptions_enable=False)
app.command("import")(import_)
app.command("export")(export)


def call(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "--plugin", str(STORED)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module", params=["tok1d_A", "tok2d_A"])
def golden(request):
    return read(OWN / f"golden_{request.param}.safetensors")


@pytest.fixture
def recipe(golden, tmp_path):
    path = tmp_path / "golden.yaml"
    path.write_text(yaml.safe_dump(tokenizer_recipe(golden.meta, rotation=True)))
    return path


@pytest.fixture
def released(golden):
    """The content of a checkpoint as the original's training script saves it."""
    model = {name[2:]: tensor for name, tensor in golden.tensors.items() if name.startswith("w.")}
    model["quantize.codebook_used"] = torch.zeros(65536)
    discriminator = {name[6:]: tensor for name, tensor in golden.tensors.items() if name.startswith("wdisc.")}
    for name in [name for name in discriminator if name.endswith("bias") and f"{name[:-4]}weight" in discriminator]:
        if discriminator[f"{name[:-4]}weight"].ndim == 1:
            norm = name.removesuffix("bias")
            discriminator[f"{norm}running_mean"] = torch.randn(len(discriminator[name]))
            discriminator[f"{norm}running_var"] = torch.rand(len(discriminator[name]))
            discriminator[f"{norm}num_batches_tracked"] = torch.tensor(7)
    return {
        "model": model,
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4}]},
        "discriminator": discriminator,
        "steps": 12,
        "args": argparse.Namespace(model="VQ", lr=1e-4),
    }


def bring(path, recipe, folder, **options):
    resolved = load_recipe(str(recipe), REGISTRY)
    return import_checkpoint(path, GigaTokCheckpoint(), resolved, REGISTRY.components, folder, IMAGE, **options)


def test_command_line(golden, released, recipe, tmp_path):
    """What is imported encodes to the golden codes."""
    torch.save(released, tmp_path / "released.pt")
    said = call(
        "import", "gigatok", tmp_path / "released.pt", "--recipe", recipe, "-o", tmp_path / "ours", "--image-size", 16
    )
    assert "of 'model'" in said
    assert "not read: optimizer, steps, args" in said
    tokenizer = Tokenizer.load(tmp_path / "ours", REGISTRY)
    codes = tokenizer.encode(golden["in.x"])
    assert torch.equal(codes.flatten(), golden["eval.indices"].long())


def test_round_trip_is_bit_identical(released, recipe, tmp_path):
    torch.save(released, tmp_path / "released.pt")
    bring(tmp_path / "released.pt", recipe, tmp_path / "first")
    call("export", "gigatok", "--tokenizer", tmp_path / "first", "-o", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    for section in ("model", "discriminator"):
        assert back[section].keys() == released[section].keys()
        assert all(torch.equal(back[section][name], tensor) for name, tensor in released[section].items())
        assert all(back[section][name].dtype == tensor.dtype for name, tensor in released[section].items())
    bring(tmp_path / "back.pt", recipe, tmp_path / "second")
    for name in (WEIGHTS, REGULARIZERS):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    heads = load_file(tmp_path / "first" / REGULARIZERS)
    assert {name.split(".")[0] for name in heads} == {"semantic", "adversarial"}


def test_what_such_files_keep_nowhere_is_told(released, recipe, tmp_path):
    torch.save(released, tmp_path / "released.pt")
    bring(tmp_path / "released.pt", recipe, tmp_path / "ours")
    path = tmp_path / "ours" / REGULARIZERS
    save_tensors({**load_file(path), "adversarial.mean_of_real": torch.zeros(())}, path)
    said = call("export", "gigatok", "--tokenizer", tmp_path / "ours", "-o", tmp_path / "back.pt")
    assert "not written, for such files have no place for it: regularizers.adversarial" in said


def wrapped(tensors, wrapper):
    return {f"{wrapper}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("variant", ["ddp", "compiled ddp", "fsdp", "bare", "half precision", "old format"])
def test_variants_of_the_file(variant, released, recipe, tmp_path):
    """The same weights however they were saved."""
    path, options = tmp_path / "released.pt", {}
    model = released["model"]
    if variant == "ddp":
        content = {**released, "model": wrapped(model, "module.")}
    elif variant == "compiled ddp":
        content = {**released, "model": wrapped(model, "module._orig_mod.")}
    elif variant == "fsdp":
        content = {
            "model": {name.replace("encoder.", "encoder._fsdp_wrapped_module.", 1): t for name, t in model.items()}
        }
    elif variant == "bare":
        content = model
    elif variant == "half precision":
        content = {"model": {name: tensor.half() for name, tensor in model.items()}}
    else:
        content, options = released, {"_use_new_zipfile_serialization": False}
    torch.save(content, path, **options)
    bring(path, recipe, tmp_path / "ours")
    torch.save(released, tmp_path / "plain.pt")
    bring(tmp_path / "plain.pt", recipe, tmp_path / "plain")
    assert (tmp_path / "ours" / WEIGHTS).read_bytes() == (tmp_path / "plain" / WEIGHTS).read_bytes()


def test_safetensors(released, recipe, tmp_path):
    save_file({name: tensor.contiguous() for name, tensor in released["model"].items()}, tmp_path / "r.safetensors")
    done = bring(tmp_path / "r.safetensors", recipe, tmp_path / "ours")
    assert done.without == ("adversarial",)
    assert not any(name.startswith("adversarial") for name in load_file(tmp_path / "ours" / REGULARIZERS))


def test_the_weight_average_is_preferred(released, recipe, tmp_path):
    average = {n: t + 1 for n, t in released["model"].items() if n != "quantize.codebook_used"}
    torch.save({**released, "ema": average}, tmp_path / "released.pt")
    assert bring(tmp_path / "released.pt", recipe, tmp_path / "average").weights == "ema"
    assert bring(tmp_path / "released.pt", recipe, tmp_path / "last", weights="model").weights == "model"
    ours = [load_file(tmp_path / name / WEIGHTS)["quantizer.codebook"] for name in ("average", "last")]
    assert torch.equal(ours[0], ours[1] + 1)
    with pytest.raises(TokzooError, match="has no weights 'emma'; did you mean 'ema'"):
        bring(tmp_path / "released.pt", recipe, tmp_path / "none", weights="emma")


def test_every_wrong_key_is_named_and_nothing_is_written(released, recipe, tmp_path):
    model = dict(released["model"])
    del model["quant_conv.bias"]
    model["quant_conv.scale"] = torch.zeros(1)
    model["encoder.conv_in.bias"] = torch.zeros(5)
    torch.save({**released, "model": model}, tmp_path / "released.pt")
    with pytest.raises(TokzooError) as error:
        bring(tmp_path / "released.pt", recipe, tmp_path / "ours")
    said = str(error.value)
    assert "missing: quant_conv.bias\n" in said
    assert "left over: quant_conv.scale\n" in said
    assert "of another shape: encoder.conv_in.bias (has 5, and needs 32)" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden.yaml", "released.pt"]


def test_half_a_discriminator_is_an_error(released, recipe, tmp_path):
    discriminator = dict(released["discriminator"])
    del discriminator["main.0.weight"]
    torch.save({**released, "discriminator": discriminator}, tmp_path / "released.pt")
    with pytest.raises(TokzooError, match=r"missing: main\.0\.weight"):
        bring(tmp_path / "released.pt", recipe, tmp_path / "ours")


def test_files_that_are_no_checkpoints(recipe, tmp_path):
    cases = {
        "there.pt": (None, "No such file"),
        "text.pt": (b"not a checkpoint", "refused|not a checkpoint"),
        "broken.safetensors": (b"12345678rest", "not a checkpoint"),
    }
    for name, (content, said) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(TokzooError, match=said):
            bring(tmp_path / name, recipe, tmp_path / "ours")
    torch.save({"steps": 3}, tmp_path / "empty.pt")
    with pytest.raises(TokzooError, match=r"has no weights \(ema, model, state_dict\); it has steps"):
        bring(tmp_path / "empty.pt", recipe, tmp_path / "ours")


def test_a_folder_that_is_there_is_left_alone(released, recipe, tmp_path):
    torch.save(released, tmp_path / "released.pt")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.txt").write_text("mine")
    with pytest.raises(TokzooError, match="there is something there already"):
        bring(tmp_path / "released.pt", recipe, tmp_path / "ours")
    assert [path.name for path in (tmp_path / "ours").iterdir()] == ["mine.txt"]


def test_a_model_into_the_folder_one_is_in(released, recipe, tmp_path, monkeypatch):
    torch.save(released, tmp_path / "released.pt")
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path / "ours")
    bring(tmp_path / "released.pt", recipe, Path("."))
    assert (tmp_path / "ours" / "tokenizer.safetensors").is_file()


def test_other_tokenizers_are_refused(released, tmp_path):
    torch.save(released, tmp_path / "released.pt")
    resolved = load_recipe("gigatok-1d-nano", REGISTRY, ((("quantizer", "use"), "fsq"),))
    with pytest.raises(Refusal, match=r"on both sides of vq, not gigatok-qformer, fsq"):
        import_checkpoint(
            tmp_path / "released.pt", GigaTokCheckpoint(), resolved, REGISTRY.components, tmp_path / "ours"
        )


def test_unknown_family():
    with pytest.raises(TokzooError, match="family 'gigatik': unknown; did you mean 'gigatok'"):
        call("import", "gigatik", "x.pt", "--recipe", "gigatok-s-s", "-o", "ours")
