"""The command line as its users meet it: output, exit codes, and one clear message for each mistake."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tokzoo.data.run_folder import RunFolder


@pytest.mark.parametrize(
    "command",
    [["--help"], ["list"], ["plugins", "list"], ["plugins", "show", "ar"], ["show", "quantizer/vq"], ["compat"]],
)
def test_looking_around_imports_no_torch_and_no_room_it_does_not_need(command):
    script = (
        f"import sys; sys.argv = ['tokzoo', *{command}]\n"
        "from tokzoo.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        f"needed = {command[0] in ('show', 'compat')}\n"
        "rooms = [name for name in ('tokzoo.bench', 'tokzoo.recipes', 'tokzoo.records') if name in sys.modules]\n"
        "assert needed or not rooms, f'{rooms} were imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(tokzoo):
    text = tokzoo("--help").stdout
    for command in (
        "run",
        "encode",
        "decode",
        "list",
        "show",
        "compat",
        "explain",
        "plugins",
        "leaderboard",
        "runs",
        "env",
    ):
        assert command in text


def test_version_and_env(tokzoo):
    import tokzoo as package

    assert package.__version__ in tokzoo("--version").stdout
    assert json.loads(tokzoo("env").stdout)["tokzoo"] == package.__version__


def test_list_by_kind(tokzoo):
    everything = tokzoo("list").stdout
    for name in ("gigatok-vit", "vq", "fsq", "entropy", "gpt", "fashion", "psnr", "gigatok-2d-nano", "fashion-quick@1"):
        assert name in everything
    quantizers = tokzoo("list", "quantizer").stdout
    assert "fsq" in quantizers
    assert "gpt" not in quantizers
    assert {row["name"] for row in json.loads(tokzoo("list", "tracks", "--json").stdout)} >= {"fashion-nano@1"}
    assert "released .pt files" in tokzoo("list", "formats").stdout


def test_list_by_glob(tokzoo):
    names = {row["name"] for row in json.loads(tokzoo("list", "gigatok-2d-nano*", "--json").stdout)}
    assert names >= {"gigatok-2d-nano", "gigatok-2d-nano-semantic"}
    assert all(name.startswith("gigatok-2d-nano") for name in names)
    assert [row["name"] for row in json.loads(tokzoo("list", "encoder", "*former", "--json").stdout)] == [
        "gigatok-qformer"
    ]


def test_show_a_component_and_a_recipe(tokzoo):
    text = tokzoo("show", "quantizer/vq").stdout
    assert "1711.00937" in text
    assert "commitment" in text
    assert "goes with decoder: gigatok-qformer, gigatok-vit" in text
    about = json.loads(tokzoo("show", "quantizer/vq", "--json").stdout)
    assert about["partners"]["ar"] == {"gpt": None}
    schema = json.loads(tokzoo("show", "quantizer/vq", "--schema").stdout)
    assert schema == about["schema"]
    assert schema["properties"]["codes"]["default"] == 16384
    assert "gigatok-vit" in tokzoo("show", "recipe/gigatok-2d-nano").stdout


def test_plugins_list_names_a_broken_one_and_goes_on(tokzoo):
    (tokzoo.folder / "bad.py").write_text("raise RuntimeError('not today')\n")
    done = tokzoo("plugins", "list", "--plugin", "bad.py")
    assert "not today" in done.stdout
    assert "plugin bad" in done.stderr
    assert "quantizer/vq" in done.stdout
    assert "not today" in tokzoo("list", "--plugin", "bad.py", "--strict-plugins", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quantizer.codez=64"], ["quantizer.codez", "did you mean 'codes'?", "command line"]),
        (["quantiser.codes=64"], ["quantiser", "did you mean 'quantizer'?"]),
        (["quantizer.use=fqs"], ["fqs", "did you mean 'fsq'?"]),
        (["track.tokenizer.stepz=64"], ["track.tokenizer.stepz", "did you mean 'steps'?"]),
        (["train.tokenizer.lr=-1"], ["train.tokenizer.lr", "greater than 0"]),
        (["regularizers.entropy.weight=1", "regularizers.entropy.weight=2"], ["given twice"]),
        (["--seeds", "2-1"], ["--seeds 2-1", "0-2"]),
        (["--grid", "quantizer=vq"], ["--grid", "[vq, fsq]"]),
        (["--plugin", "none.py"], ["none.py", "no such file"]),
        (["--device", "gpu"], ["device 'gpu'", "did you mean 'cuda'?"]),
    ],
)
def test_a_mistake_is_told_in_one_message(tokzoo, arguments, told):
    done = tokzoo(*tokzoo.tiny[:-4], *arguments, code=2)
    for words in told:
        assert words in done.stderr
    assert not list(tokzoo.folder.glob("runs"))


def test_a_folder_that_cannot_be_written_is_told(tokzoo):
    done = tokzoo(*tokzoo.tiny, "--out", "fashion/train-images-idx3-ubyte", code=2)
    assert "error: fashion/train-images-idx3-ubyte: cannot be written (Not a directory); name another" in done.stderr


def test_missing_names_are_listed(tokzoo):
    assert "gigatok-2d-nano" in tokzoo("run", code=2).stderr + tokzoo("run", "x=1", code=2).stderr
    assert "fashion-quick@1" in tokzoo("run", "gigatok-2d-nano", code=2).stderr
    assert "did you mean 'fashion-quick" in tokzoo("run", "gigatok-2d-nano", "--track", "fashion-quik", code=2).stderr
    assert (
        "did you mean 'gigatok-2d-nano'" in tokzoo("run", "gigatok-2d-nan", "--track", "fashion-quick", code=2).stderr
    )


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        ("decoder.use=gigatok-qformer", ["quantizer → decoder", "wants a sequence", "4×4 grid", "gigatok-vit"]),
        (
            "encoder={use: gigatok-qformer, tokens: 8, size: tiny, multipliers: [1, 1, 1, 1]}",
            ["quantizer → decoder", "grid", "sequence of 8", "gigatok-qformer"],
        ),
    ],
)
def test_a_sequence_part_in_a_grid_chain_is_refused_before_training(tokzoo, swap, told):
    done = tokzoo("run", "gigatok-2d-nano", swap, "--track", "fashion-quick", code=2)
    for words in told:
        assert words in done.stderr
    assert not list(tokzoo.folder.glob("runs"))


def test_dry_run_trains_nothing(tokzoo):
    text = tokzoo("run", "gigatok-2d-nano", "quantizer.use=fsq", "--track", "fashion-quick", "--dry-run").stdout
    for words in ("4×4 codes of 512", "144", "encoder", "tokenizer: new", "nothing was trained", "time: unknown"):
        assert words in text
    assert not list(tokzoo.folder.glob("runs"))


def test_a_dry_run_of_many_cells_has_a_line_for_each(finished):
    grid = ["--grid", "quantizer.codes=[64, 32]", "--seeds", "0-1", "--dry-run"]
    header, *lines = finished(*finished.tiny, *grid, env={"COLUMNS": "80"}).stdout.splitlines()
    assert header.split() == ["recipe", "seed", "code", "bits", "params", "stages", "to", "run", "time"]
    cells, (count, time) = lines[:-2], lines[-2:]
    assert [" ".join(line.split()[1:6]) for line in cells] == [
        "quantizer.codes=64 0 96 38 k",
        "quantizer.codes=64 1 96 38 k",
        "quantizer.codes=32 0 80 37 k",
        "quantizer.codes=32 1 80 37 k",
    ]
    assert "none" in cells[0]
    (row,) = json.loads(finished("leaderboard", "show", "--columns", "params", "--json").stdout)[0]["rows"]
    assert f"{row['values'][0]['mean'] / 1e3:.0f} k" in cells[0], "as the leaderboard says"
    assert re.search(r"9 of 9 +\d+ s", cells[1])
    assert re.search(r"9 of 9 +\?", cells[2])
    assert count == "4 cells, 27 stages to run; nothing was trained"
    assert re.fullmatch(r"time: about .* on cpu as before, for 9 of them; the others were never run here", time)


def test_a_dry_run_names_weights_that_are_not_here_with_file_source_and_field(tokzoo):
    caches = dict.fromkeys(("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE"), str(tokzoo.folder))
    roles = ["regularizers.p=lpips", "regularizers.s={use: semantic, tap: 1, teacher: timm}", "regularizers.d=dinodisc"]
    told = tokzoo("run", "gigatok-2d-nano", *roles, "--track", "fashion-quick", "--dry-run", env=caches).stdout
    lines = sorted(line for line in told.splitlines() if line.startswith("not here: "))
    fetched, hub = "weights are fetched when they are needed: model.safetensors of", "https://huggingface.co/timm"
    assert lines[0].startswith(f"not here: regularizer 'dinodisc': {fetched} {hub}/vit_small_patch16_224.dino")
    assert lines[1].startswith("not here: regularizer 'lpips': weights are missing: ")
    for words in (
        "vgg: vgg16-397923af.pth from https://",
        f"(there is no {tokzoo.folder}",
        "lin: vgg.pth from https://",
    ):
        assert words in lines[1]
    assert lines[2].startswith(f"not here: teacher 'timm': {fetched} {hub}/vit_base_patch14_dinov2")
    assert lines[2].endswith("; or set weights to its path")


def test_a_gpu_that_is_not_there_is_told_before_anything_is_done(tokzoo):
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    told = tokzoo(*tokzoo.tiny, "--device", "cuda", "--dry-run", code=2, env=hidden).stderr
    assert "device cuda: torch sees no CUDA device; use cpu" in told
    assert not (tokzoo.folder / "runs").exists()


def test_explain_tells_where_values_come_from(tokzoo):
    arguments = ["explain", "gigatok-2d-nano", "quantizer.codes=64", "--track", "fashion-quick", "--json"]
    told = json.loads(tokzoo(*arguments).stdout)
    origins = {line["key"]: line["origin"] for line in told["values"]}
    assert origins["quantizer.codes"] == "command line"
    assert origins["quantizer.dim"].startswith("gigatok-2d-nano.yaml:")
    assert origins["quantizer.codebook_weight"] == "default"
    assert origins["track.probe.steps"].startswith("fashion-quick@1.yaml:")
    assert "4×4 codes of 64" in told["chain"]


def test_leaderboard_and_runs_show(finished):
    (record,) = finished.records()
    table = finished("leaderboard", "show").stdout
    assert "tiny" in table
    assert "PSNR" in table
    rows = json.loads(finished("leaderboard", "show", "--json").stdout)[0]["rows"]
    assert rows[0]["seeds"] == [0]
    assert record["id"] in finished("runs", "show", record["id"][:6]).stdout
    truncated = finished.folder / "runs" / "cells" / "cut" / "cell.json"
    truncated.parent.mkdir()
    truncated.write_text('{"stages": ')
    assert "reconstruction.psnr" in finished("runs", "show", "tiny").stdout
    truncated.unlink()
    narrow = finished("leaderboard", "show", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert narrow.isascii()
    assert r"PSNR \u2191 [dB]" in narrow
    (kept,) = finished.folder.glob("runs/records/*.json")
    (cell,) = finished.folder.glob("runs/cells/*/cell.json")
    whole = kept.read_bytes(), cell.read_bytes()
    for path in (kept, cell):
        path.write_bytes(path.read_bytes()[:500])
    finished(*finished.tiny)
    assert (kept.read_bytes(), cell.read_bytes()) == whole
    assert "made some" not in finished("leaderboard", "show", "--track", "nope", code=2).stdout


def test_runs_list(finished):
    (record,) = finished.records()
    (line,) = [line for line in finished("runs", "list").stdout.splitlines() if record["id"] in line]
    assert "tiny on tiny@1+fashion-" in line
    assert "ok, PSNR" in line
    (told,) = json.loads(finished("runs", "list", "--json").stdout)
    assert (told["record"], told["recipe"], told["seed"]) == (record["id"], "tiny", 0)
    assert "nothing under none yet; make something" in finished("runs", "list", "--out", "none").stdout
    assert "there is tiny (tokzoo runs list)" in finished("runs", "show", "nix", code=2).stderr


def test_names_and_paths_are_whole_on_a_narrow_terminal(finished, tmp_path):
    narrow, long = {"COLUMNS": "80"}, "gigatok-2d-nano-quantizer-vq-regularizers" + "-entropy-weight-0.1" * 3
    out = shutil.copytree(finished.folder / "runs", tmp_path / "runs")
    for end in ("-s0", "-s1"):
        RunFolder(out).cell(long + end).write({}, {"tokenizer": end})
    lines = finished("runs", "list", "--out", out, env=narrow).stdout.splitlines()
    place = lines.index("unfinished, no record yet (the command that began a cell goes on with it):")
    assert lines[place + 1 :] == [f"  {long}-s0", f"  {long}-s1"]
    assert any(line.startswith(finished.records()[0]["id"]) for line in (each.strip() for each in lines[:place]))
    shown = [line.strip() for line in finished("runs", "show", "tiny", "--out", out, env=narrow).stdout.splitlines()]
    pictures = [str(path) for path in out.glob("cells/*/*.png")]
    assert len(pictures) == 4
    assert min(map(len, pictures)) > 76
    assert {*pictures, *map(str, out.glob("cache/*/*"))} <= {*shown}


def test_the_leaderboard_in_other_formats_and_in_part(finished):
    (record,) = finished.records()
    for form in ("markdown", "csv", "latex", "json"):
        assert record["id"] in finished("leaderboard", "show", "--format", form).stdout
    part = finished("leaderboard", "show", "--recipe", "ti*", "--columns", "codes.*,cost.params").stdout
    assert "perplexity" in part
    assert "dB" not in part
    for mistake, told in (
        (["--format", "latx"], "did you mean 'latex'?"),
        (["--recipe", "tinny"], "did you mean 'tiny'?"),
        (["--columns", "cost.parms"], "did you mean 'cost.params'?"),
        (["--track", "tini"], "tiny@1+fashion-"),
        (["--json", "--format", "csv"], "choose one of them"),
    ):
        assert told in finished("leaderboard", "show", *mistake, code=2).stderr


def test_tables_are_as_wide_as_columns_says(finished):
    text = finished("leaderboard", "show", env={"COLUMNS": "60"}).stdout
    assert max(map(len, text.splitlines())) <= 60
    assert "…" not in text


def test_seeds_are_aggregated_in_the_table(tokzoo):
    text = tokzoo(*tokzoo.tiny, "track.tokenizer.steps=10", "track.probe.steps=10", "--seeds", "0-1").stdout
    assert "±" in text
    assert "2 cells run" in text


def test_help_of_run_shows_its_examples_whole(tokzoo):
    assert "'quantizer=[vq, fsq]'" in tokzoo("run", "--help").stdout


def test_a_gate_that_never_opens_is_warned_about(tokzoo):
    told = tokzoo(*tokzoo.tiny, "regularizers.entropy.start=40", "--dry-run").stderr
    assert "regularizers.entropy never acts: it starts at step 40" in told
    assert not tokzoo(*tokzoo.tiny, "regularizers.entropy.start=0.9", "--dry-run").stderr


@pytest.mark.parametrize(("output", "said"), [("> /dev/full", "error: OSError: [Errno 28] No space left"), (">&-", "")])
def test_output_that_cannot_be_written_is_told_in_a_line(output, said):
    command = f"{shlex.quote(sys.executable)} -m tokzoo list quantizer {output}"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(said)
    assert done.returncode == (2 if said else 0)
