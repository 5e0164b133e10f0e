"""``tokzoo.run``: the command line's run in Python, with components of the script that calls it."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

import tokzoo
from tests.conftest import RECIPES, write_small_fashion
from tokzoo.contracts.errors import TokzooError

TINY, TRACK = RECIPES / "tiny.yaml", RECIPES / "tiny@1.yaml"
SHORT = {"track.tokenizer.steps": 10, "track.probe": None, "track.metrics": ["psnr"]}


class SignConfig(tokzoo.QuantizerConfig):
    bits: int = 6

    def wants(self, layout):
        return self.bits

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, vocab=(2**self.bits,))


class Sign(tokzoo.Quantizer):
    """One bit a channel, straight-through."""

    config: SignConfig

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.register_buffer("powers", 2 ** torch.arange(config.bits), persistent=False)

    def forward(self, latent):
        codes = ((latent > 0) * self.powers).sum(-1)
        signs = self.decode(codes)
        return tokzoo.Quantized(latent + (signs - latent).detach() if self.training else signs, codes)

    def decode(self, codes):
        return (codes[..., None] // self.powers % 2) * 2.0 - 1.0


def charbonnier(images, target, *, epsilon: float = 1e-3):
    """Charbonnier distance."""
    return ((images - target) ** 2 + epsilon**2).sqrt().mean()


def latent_size(state):
    return state.encoded.latent.square().mean()


def worst(images, reconstructions, *, power: float = 1.0):
    return (images - reconstructions).abs().flatten(1).amax(1).pow(power)


def broken(images, target):
    raise RuntimeError("no such luck")


CHANGES = (
    "quantizer={use: sign, bits: 5}",
    "regularizers.entropy=null",
    "regularizers.charbonnier={use: charbonnier, weight: 0.5, epsilon: 0.01}",
    "regularizers.size={use: latent-size, weight: 0.01}",
)


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """So small a model is slower on two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokzoo_executors.in_process.available_cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("api")
    write_small_fashion(path / "fashion")
    return path


@pytest.fixture(scope="module")
def options(folder):
    """What a run in this folder is told."""
    return {"track": TRACK, "out": folder / "runs", "device": "cpu"}


@pytest.fixture(scope="module")
def everything(folder, options):
    changes = {"track.dataset.root": str(folder / "fashion"), "track.tokenizer.steps": 20, "track.probe.steps": 20}
    components = [Sign, charbonnier, latent_size, worst]
    return lambda: tokzoo.run(TINY, *CHANGES, changes=changes, seeds=range(2), components=components, **options)


@pytest.fixture(scope="module")
def done(everything):
    return everything()


def test_classes_and_functions_are_trained_judged_and_ranked(done):
    assert done.ok
    assert not done.failed
    assert [record.seed for record in done.records] == [0, 1]
    record = done.records[0]
    assert list(record.shapes["codes"]["vocab"]) == [32]
    made = record.versions["components"]
    assert made["quantizer"]["use"] == "sign"
    assert made["quantizer"]["plugin"] == made["regularizers.charbonnier"]["plugin"] == "script"
    (code,) = record.provenance["code"]["quantizer/sign"]
    assert code["in_development"]
    assert code["stamp"]
    assert record.recipe.content["regularizers"]["charbonnier"]["epsilon"] == 0.01
    value = record.metrics["reconstruction.worst"]
    assert record.protocols[value.protocol]["settings"] == {"power": 1.0}
    assert "+" in record.track.name


def test_the_terms_of_functions_are_in_the_log(done):
    (log, _) = (done.out / "cache" / "tokenizer").glob("*/events.jsonl")
    event = json.loads(log.read_text().splitlines()[-1])
    assert {"charbonnier", "size", "reconstruction"} <= set(event)
    weighted = event["reconstruction"] + 0.5 * event["charbonnier"] + 0.01 * event["size"]
    assert event["loss"] == pytest.approx(weighted, rel=1e-4)


def test_results_print_as_the_table_and_are_a_frame(done):
    text = str(done)
    for words in ("tiny@1+", "PSNR ↑ [dB]", "worst", "±", "2 cells run, 0 found done", done.records[1].id):
        assert words in text
    frame = done.frame()
    assert len(frame) == sum(len(record.metrics) for record in done.records)
    psnr = frame[(frame.metric == "reconstruction.psnr") & (frame.seed == 1)].iloc[0]
    value = done.records[1].metrics["reconstruction.psnr"]
    assert (psnr.value, psnr.unit, psnr.better, psnr.protocol) == (value.value, "dB", "higher", value.protocol)
    record = done.records[1]
    assert (psnr.record, psnr.track, psnr.recipe) == (record.id, record.track.name, record.recipe.name)
    assert record.recipe.name.startswith("tiny 4 changes (")
    assert done.tables[0].rows[0].seeds == (0, 1)


def test_results_give_the_tokenizer_of_a_cell(done):
    tokenizer = done.tokenizer(1, device="cpu")
    assert type(tokenizer.quantizer) is Sign, "a class of this script"
    assert tokenizer.decode(tokenizer.encode(Image.new("L", (40, 30)))).shape == (1, 1, 32, 32)


def test_run_again_nothing_is_done_twice(done, everything):
    again = everything()
    assert "0 cells run, 2 found done" in str(again)
    assert again.records == done.records


def test_a_grid_of_python_values_and_a_failing_cell(folder, options):
    changes = {**SHORT, "track.dataset.root": str(folder / "fashion")}
    grid = {"regularizers.extra": [None, {"use": "broken"}], "track.samples": [5]}
    found = tokzoo.run(TINY, changes=changes, grid=grid, components=[broken], **options)
    assert not found.ok
    assert [record.status for record in found.records] == ["ok", "failed"]
    (failed,) = found.failed
    assert failed.failure.message == "regularizer 'broken' (plugin script): RuntimeError: no such luck"
    assert "extra=broken" in failed.recipe.name
    assert "no such luck" in str(found)
    frame = found.frame()
    assert set(frame.recipe) == {"tiny regularizers.extra=null track.samples=5"}
    assert set(frame["regularizers.extra"]) == {"null"}, "a text, for pandas leaves out what is missing"
    assert set(frame["track.samples"]) == {5}
    assert found.tokenizer(0, device="cpu").recipe.regularizers.keys() == {"entropy", "reconstruction"}
    with pytest.raises(TokzooError, match=r"cell tiny-.*extra-broken-track.samples-5--.*: its tokenizer is not in"):
        found.tokenizer(1)
    with pytest.raises(TokzooError, match=r"tokenizer\(2\): the place of a cell is 0 to 1"):
        found.tokenizer(2)
    (log,) = [path for path in folder.glob("runs/cells/*/log.txt") if "Traceback" in path.read_text()]
    assert "in broken" in log.read_text()


@pytest.mark.parametrize(
    ("what", "given", "told"),
    [
        ((), {}, ["name a recipe or a suite"]),
        ((TINY,), {"track": None}, ["name a track"]),
        ((TINY, "quantizer.codez=3"), {}, ["quantizer.codez", "did you mean 'codes'?"]),
        ((TINY,), {"changes": {"quantizer.codez": 3}}, ["quantizer.codez", "did you mean 'codes'?"]),
        ((TINY,), {"changes": {"": 3}}, ["changes: '': expected a key such as quantizer.codes"]),
        ((TINY, "quantizer.codes=3"), {"changes": {"quantizer.codes": 4}}, ["quantizer.codes: given twice"]),
        ((TINY,), {"grid": {"quantizer": "vq"}}, ["grid: 'quantizer' takes a list"]),
        ((TINY,), {"grid": {"quantizer": []}}, ["grid: 'quantizer' takes a list"]),
        ((TINY,), {"seeds": 3}, ["seeds=3: expected whole numbers, such as range(3)"]),
        ((TINY,), {"seeds": [-1]}, ["seeds=[-1]"]),
        ((TINY,), {"seeds": []}, ["seeds=[]"]),
        ((TINY,), {"device": "gpu"}, ["device 'gpu'", "did you mean 'cuda'?"]),
        ((TINY,), {"device": None}, ["device 'None'", "known: auto, cpu, cuda"]),
        ((5,), {}, ["what=5: expected a path or a name"]),
        ((TINY,), {"out": None}, ["out=None: expected a path"]),
        ((TINY,), {"data": 3}, ["data=3: expected a path"]),
        ((TINY,), {"changes": ["quantizer.codes=64"]}, ["changes=['quantizer.codes=64']: expected a mapping"]),
        ((TINY,), {"grid": {3: [1]}}, ["grid: 3: expected a key such as quantizer.codes"]),
        ((TINY,), {"grid": {"quantizer.codes": 64}}, ["grid: 'quantizer.codes' takes a list", "not 64"]),
        ((TINY,), {"plugins": "my.py"}, ["plugins='my.py': expected a list, such as ['my.py']"]),
        ((TINY,), {"components": Sign}, ["Sign'>: expected a list, such as [MyQuantizer]"]),
        ((TINY,), {"accumulate": 0}, ["accumulate=0: expected a whole number, 1 or more"]),
        ((TINY,), {"checkpoint_every": "30"}, ["checkpoint_every='30': expected a number, 0 or more"]),
        ((TINY,), {"jobs": "two"}, ["executor.jobs", "'two'"]),
        ((TINY,), {"executor": "locale"}, ["executor 'locale': unknown", "did you mean 'local'?"]),
        ((TINY, "executor.jobz=2"), {}, ["executor.jobz", "did you mean 'jobs'?"]),
        ((TINY,), {"components": [Sign], "executor": "local"}, ["executor='local'", "plugin file"]),
        ((TINY,), {"plugins": ["none.py"]}, ["none.py", "no such file"]),
        ((TINY,), {"components": [Sign], "jobs": 2}, ["jobs=2", "one cell after the other", "plugin file"]),
        ((TINY,), {"components": [int]}, ["class int", "tokzoo.Quantizer"]),
        ((TINY, "quantizer.use=sigm"), {"components": [Sign]}, ["did you mean 'sign'?"]),
    ],
)
def test_a_mistake_is_told_in_one_message(tmp_path, what, given, told):
    with pytest.raises(TokzooError) as error:
        tokzoo.run(*what, **{"track": TRACK, "out": tmp_path / "runs", **given})
    for words in told:
        assert words in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_what_may_not_be_meant_is_a_warning_and_a_broken_plugin_an_error(folder, options, done):
    changes = {**SHORT, "track.dataset.root": str(folder / "fashion"), "regularizers.entropy.start": 10}
    with pytest.warns(UserWarning, match="regularizers.entropy never acts"):
        tokzoo.run(TINY, changes=changes, components=[Sign], **options)
    bad = folder / "bad.py"
    bad.write_text("raise RuntimeError('not today')\n")
    with pytest.raises(TokzooError, match=r"bad.py: RuntimeError: not today"):
        tokzoo.run(TINY, changes=changes, plugins=[bad], **options)


def test_a_tokenizer_of_a_component_that_is_not_there_names_it_in_a_line(done, tokzoo):
    (cell, _) = sorted(done.out.glob("cells/*--s?--*"))[:2]
    Image.new("L", (28, 28)).save(tokzoo.folder / "photo.png")
    told = tokzoo("encode", "photo.png", "-o", "x.safetensors", "--tokenizer", str(cell), code=2).stderr
    (line,) = told.splitlines()  # not its regularizers, which only shaped it
    assert "quantizer 'sign': unknown" in line
    assert "sign" in tokzoo("runs", "show", done.records[0].id, "--out", str(done.out), "--json").stdout
    assert "worst" in tokzoo("leaderboard", "show", "--out", str(done.out)).stdout


# Scripts, as users run them.

SCRIPT = """
import os
import tokzoo

if hasattr(os, "sched_setaffinity"):  # so small a model is slower on two cores than on one
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})

def charbonnier(images, target, *, epsilon: float = 1e-3):
    return ((images - target) ** 2 + epsilon**2).sqrt().mean()

changes = {changes!r}
done = tokzoo.run({tiny!r}, track={track!r}, changes=changes, device="cpu", {more})
print(*(record.id for record in done.records))
"""


def script(folder, changes, more, name="script.py"):
    path = folder / name
    path.write_text(SCRIPT.format(tiny=str(TINY), track=str(TRACK), changes=changes, more=more))
    return [sys.executable, str(path)]


def run_script(command, folder):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)


def test_a_script_without_a_guard_runs_cells_in_processes_of_their_own(tmp_path, folder):
    changes = {**SHORT, "track.dataset.root": str(folder / "fashion")}
    done = run_script(script(tmp_path, changes, "seeds=[0, 1]"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2, "the results alone are on standard output"
    assert "tiny s1: tokenizer running" in done.stderr
    assert done.stderr.count("tokenizer running") == 2


def test_interrupted_a_script_saves_and_goes_on(tmp_path, folder):
    more = "components=[charbonnier]"
    changes = {**SHORT, "track.dataset.root": str(folder / "fashion"), "track.tokenizer.steps": 60}
    changes["regularizers.reconstruction.use"] = "charbonnier"
    command = script(tmp_path, changes, more)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/cache/tokenizer/*/events.jsonl")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.glob("runs/cache/tokenizer/*/checkpoint.safetensors"))

    # The name of the file and the call are not part of the code.
    again = run_script(script(tmp_path, changes, f"{more}, seeds=(0,)", "renamed.py"), tmp_path)
    assert "goes on from step" in again.stderr
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("what", "given", "told"),
    [
        (5, {}, "tokenizer=5: expected a path or a name, as text"),
        (None, {}, "tokenizer=None: expected a path or a name"),
        (b"tiny", {}, "tokenizer=b'tiny': expected a path or a name"),
        ("t\0y", {}, "tokenizer 't\0y': no folder, and no cell"),
        ("x" * 5000, {}, f"tokenizer '{'x' * 5000}': no folder, and no cell"),
        ("", {}, ".: not a saved tokenizer"),
        ("tiny", {"out": 3}, "out=3: expected a path"),
        ("tiny", {"device": "gpu"}, "device 'gpu': unknown; did you mean 'cuda'?"),
        ("tiny", {"device": 0}, "device '0': unknown; known: auto, cpu, cuda"),
        ("tiny", {"plugins": "my.py"}, "plugins='my.py': expected a list, such as ['my.py']"),
        ("tiny", {"plugins": [None]}, "plugins=None: expected a path"),
        ("tiny", {"components": 3}, "components=3: expected a list, such as [MyQuantizer]"),
    ],
)
def test_loading_what_is_none_is_told_in_one_message(finished, what, given, told):
    with pytest.raises(TokzooError, match=f"^{re.escape(told)}"):
        tokzoo.load(what, **{"out": finished.folder / "runs", **given})


def test_a_tokenizer_is_loaded_by_the_name_of_its_recipe(finished):
    tokenizer = tokzoo.load("tiny", out=finished.folder / "runs", device="cpu")
    images = torch.rand(3, 1, 32, 32) * 2 - 1
    assert tokenizer.decode(tokenizer.encode(images)).shape == images.shape
    (cell,) = (finished.folder / "runs" / "cells").iterdir()
    same = tokzoo.load(cell, device="cpu")
    assert torch.equal(same.encode(images), tokenizer.encode(images))
