"""Released GPTs in, ours out, and back again: on the weights of the golden files."""

import csv

import pytest
import torch
import typer
from goldens import OWN, gpt_fields, read
from typer.testing import CliRunner

import tokzoo
from tokzoo import Refusal, TokzooError
from tokzoo.assembly.saved_ar import load_ar
from tokzoo.cli.checkpoints import export, import_
from tokzoo.recipes.load import load_recipe
from tokzoo.recipes.saved import AR_WEIGHTS, SavedAR
from tokzoo.registry.plugins import load_registry
from tokzoo_ar.checkpoint import GPTCheckpoint
from tokzoo_ar.configs import GPTConfig
from tokzoo_ar.gpt import GPT

REGISTRY = load_registry()
TOKENS = tokzoo.Tokens(tokzoo.CodeSpec((16, 16), (16384,)), tokzoo.LatentSpec("grid", (16, 16), 8), 1000)
RECIPE = "gigatok-2d-nano"
"""Whose codes are those of the golden files: 16 of 512."""

app = typer.Typer(pretty_exceptions_enable=False)
app.command("import")(import_)
app.command("export")(export)


def call(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module", params=["A", "adaln_A", "qknorm_A"])
def golden(request):
    return read(OWN / f"golden_gpt_{request.param}.safetensors")


@pytest.fixture
def bring(golden, tmp_path):
    """A function to import the golden weights, as the original's training script saves them."""
    model = {name[2:]: tensor for name, tensor in golden.tensors.items() if name.startswith("w.")}
    torch.save({"model": model, "optimizer": {"state": {}}, "steps": 3}, tmp_path / "gpt.pt")
    fields = [f"ar.{name}={'null' if value is None else value}" for name, value in gpt_fields(golden.meta).items()]

    def call_import(folder, path=tmp_path / "gpt.pt", *changes, recipe=RECIPE):
        options = ("--recipe", recipe, "-o", tmp_path / folder, "--image-size", 32, "--classes", 10)
        return call("import", "gigatok-gpt", path, "ar.use=gpt", *fields, *changes, *options)

    return call_import


def test_there_and_back(golden, bring, tmp_path):
    assert "of 'model'" in bring("first")
    saved = SavedAR.read(tmp_path / "first")
    recipe = load_recipe(RECIPE, REGISTRY, ((("ar",), {"weights": str(tmp_path / "first")}),))
    codes = tokzoo.CodeSpec((4, 4), (512,))
    tokens = tokzoo.Tokens(codes, tokzoo.LatentSpec("grid", (4, 4), 8), saved.classes)
    model = load_ar(tmp_path / "first", recipe.ar, tokens, None)
    logits = model.logits(golden["in.tokens"].long(), golden["in.labels"].long())
    assert (logits - golden["train.logits"]).abs().max() < 1e-5

    call("export", "gigatok-gpt", "--ar", tmp_path / "first", "-o", tmp_path / "back.pt")
    given, back = (torch.load(tmp_path / name, weights_only=True)["model"] for name in ("gpt.pt", "back.pt"))
    assert given.keys() == back.keys()
    assert all(torch.equal(given[key], back[key]) for key in given)
    bring("second", tmp_path / "back.pt")
    assert (tmp_path / "first" / AR_WEIGHTS).read_bytes() == (tmp_path / "second" / AR_WEIGHTS).read_bytes()


def test_what_is_wrong_is_told_and_nothing_is_written(golden, bring, tmp_path):
    with pytest.raises(TokzooError, match=r"of another shape: positional_embedding \(has 17×64, and needs 65×64\)"):
        bring("none", tmp_path / "gpt.pt", "encoder.multipliers=[1, 2, 4]", "decoder.multipliers=[1, 2, 4]")
    with pytest.raises(Refusal, match=r"learned positions, not 'rotary' ones; set ar\.positions=learned"):
        bring("none", tmp_path / "gpt.pt", "ar.positions=rotary")
    with pytest.raises(TokzooError, match=r"says nothing of an AR model.*add ar\.use=NAME"):
        call("import", "gigatok-gpt", tmp_path / "gpt.pt", "--recipe", RECIPE, "-o", tmp_path / "none")
    with pytest.raises(TokzooError, match="family 'gigatok-gpt' holds models of one kind: name one with --ar"):
        call("export", "gigatok-gpt", "--tokenizer", tmp_path, "-o", tmp_path / "x.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["gpt.pt"]


def test_every_tensor_of_size_b_has_a_place_in_the_published_layout():
    with torch.device("meta"):
        shapes = {f"ar.{name}": tuple(t.shape) for name, t in GPT(GPTConfig(size="B"), TOKENS).state_dict().items()}
    kept = GPTCheckpoint().kept(None, shapes).values()
    with (OWN / "layout_GPT-B.tsv").open() as file:
        published = {
            row["key"]: tuple(map(int, row["shape"].split("x"))) for row in csv.DictReader(file, delimiter="\t")
        }
    assert {place.key: place.shape for place in kept} == published
    assert len(kept) == len(published)


def test_a_saved_model_is_named_by_its_folder_alone(bring, tmp_path):
    bring("gpt")
    given = {"weights": str(tmp_path / "gpt")}
    slot = load_recipe(RECIPE, REGISTRY, ((("ar",), given),)).ar
    assert slot.config.shape.width == 64
    assert slot.dump()["weights"] == given["weights"]
    assert slot.dump(places=False)["weights"] == f"sha256:{slot.weights.fingerprint}"
    again = load_recipe(RECIPE, REGISTRY, ((("ar",), slot.dump()),)).ar
    assert again == slot
    for said, problem in (
        ({**given, "width": 128}, r"ar\.width: .*gpt was made with width 64"),
        ({**given, "use": "other"}, r"ar\.use: .*gpt is a 'gpt'; leave out use"),
        ({"weights": str(tmp_path)}, r"ar\.weights: .*not a saved AR model \(ar\.json and ar\.safetensors expected\)"),
        ({"weights": 3}, r"ar\.weights: expected the folder of a saved AR model, found 3"),
    ):
        with pytest.raises(TokzooError, match=problem):
            load_recipe(RECIPE, REGISTRY, ((("ar",), said),))
