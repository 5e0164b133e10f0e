"""Cells, stages and the cache, through the command line."""

import json
import threading

import pytest

from tests.conftest import in_process


def test_a_run_goes_through_every_stage_and_leaves_a_valid_record(finished):
    from tokzoo.records.schema import check_record

    (data,) = finished.records()
    record = check_record(data, "test")
    assert record.status == "ok"
    judged = {"reconstruction", "likelihood", "representation", "generation", "efficiency"}
    assert set(record.stages) == {"tokenizer", "codes", "ar", "samples"} | judged
    assert {"reconstruction.fd_fashion", "probe.ar_linear", "generation.class_accuracy"} <= set(record.metrics)
    assert {"reconstruction.psnr", "ar.bits_per_image", "codes.usage", "cost.params"} <= set(record.metrics)
    assert "cost.encode_images_per_s" in record.observed["metrics"]
    assert record.metrics["ar.bits_per_image"].value == pytest.approx(
        record.metrics["ar.nats_per_token"].value * 16 / 0.6931471805599453
    )
    assert record.shapes["bits_per_image"] == 16 * 6
    assert {value.protocol for value in record.metrics.values()} == set(record.protocols)
    assert record.id in finished.output


def test_what_happened_stands_in_the_run_folder_without_a_path_of_this_machine(finished):
    (attempt,) = finished.folder.glob("runs/cells/*/attempts/*.json")
    job = json.loads(attempt.read_text())
    assert str(finished.folder) not in json.dumps(job)
    events = [json.loads(line) for line in attempt.with_suffix(".jsonl").read_text().splitlines()]
    assert events[0] == {"kind": "started"}
    assert events[-1] == {"kind": "finished"}
    assert [event["stage"] for event in events if event.get("state") == "done"] == list(finished.records()[0]["stages"])


def test_a_second_run_trains_nothing_and_imports_no_torch(finished):
    script = "import sys; sys.argv = ['tokzoo', *%r]\ntry:\n    from tokzoo.cli.main import main; main()\n"
    script += "finally:\n    assert 'torch' not in sys.modules"
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", script % finished.tiny], cwd=finished.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0 cells run, 1 found done" in done.stdout


def test_a_run_leaves_pictures_and_shows_where(finished):
    from PIL import Image

    shown = finished("runs", "show", "tiny").stdout
    for name in ("reconstructions", "samples", "tokenizer", "ar"):
        (path,) = finished.folder.glob(f"runs/cells/*/{name}.png")
        assert str(path.relative_to(finished.folder)) in shown
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_no_record_shows_where_the_data_lies(finished):
    (record,) = finished.records()
    assert "root" not in record["track"]["content"]["dataset"]
    assert str(finished.folder) not in json.dumps(record)


def test_the_same_data_elsewhere_is_the_same_experiment(finished):
    (finished.folder / "moved").mkdir()
    (finished.folder / "fashion").rename(finished.folder / "moved" / "fashion")
    try:
        arguments = [text.replace("root=fashion", "root=moved/fashion") for text in finished.tiny]
        assert "0 cells run, 1 found done" in finished(*arguments).stdout
    finally:
        (finished.folder / "moved" / "fashion").rename(finished.folder / "fashion")


def test_cells_that_differ_only_in_the_ar_model_share_the_tokenizer(finished):
    shown = finished(*finished.tiny, "track.probe.ar.layers=2", "--dry-run").stdout
    for stage in ("tokenizer", "reconstruction", "codes"):
        assert f"{stage}: cached" in shown
    for stage in ("ar", "likelihood"):
        assert f"{stage}: new" in shown


def test_what_a_stage_does_not_depend_on_does_not_change_its_key(finished):
    shown = finished(*finished.tiny, "track.metrics=[psnr]", "track.probe=null", "--dry-run").stdout
    assert "tokenizer: cached" in shown
    assert "reconstruction: new" in shown
    changed = finished(*finished.tiny, "train.tokenizer.lr=1e-3", "--dry-run").stdout
    assert "cached" not in changed


def test_one_failing_cell_does_not_stop_the_others(tokzoo):
    broken = tokzoo.folder / "broken.py"
    broken.write_text(
        "import tokzoo, torch\n"
        "class Config(tokzoo.ImageTermConfig):\n    pass\n"
        "class Broken(tokzoo.ImageTerm):\n"
        "    def distance(self, images, target):\n"
        "        raise SystemExit('no such luck')\n"
        "class Nan(tokzoo.ImageTerm):\n"
        "    def distance(self, images, target):\n"
        "        return (images - target).mean() * float('nan')\n"
        "@tokzoo.hookimpl\n"
        "def tokzoo_components():\n"
        "    return [tokzoo.ComponentSpec('regularizer', f'me/{c.__name__.lower()}', Config, c, 'breaks')"
        " for c in (Broken, Nan)]\n"
    )
    axis = "regularizers.extra=[null, me/broken, me/nan]"
    done = tokzoo(*tokzoo.tiny, "--grid", axis, "--plugin", str(broken), code=1)
    assert "no such luck" in done.stdout
    statuses = sorted(record["status"] for record in tokzoo.records())
    assert statuses == ["diverged", "failed", "ok"]
    (diverged,) = [record for record in tokzoo.records() if record["status"] == "diverged"]
    assert "extra" in diverged["failure"]["message"]
    (failed,) = [record for record in tokzoo.records() if record["status"] == "failed"]
    assert failed["failure"]["message"] == "regularizer 'me/broken' (plugin broken): SystemExit: no such luck"
    logs = [path.read_text() for path in tokzoo.folder.glob("runs/cells/*/log.txt")]
    assert any("SystemExit: no such luck" in log for log in logs)


def test_a_continuous_recipe_skips_what_needs_codes(tokzoo):
    plugin = tokzoo.folder / "none.py"
    plugin.write_text(
        "import tokzoo\n"
        "class Config(tokzoo.QuantizerConfig):\n"
        "    def code_spec(self, latent): return None\n"
        "class Nothing(tokzoo.Quantizer):\n"
        "    def forward(self, latent): return tokzoo.Quantized(latent, None)\n"
        "    def decode(self, codes): raise RuntimeError\n"
        "@tokzoo.hookimpl\n"
        "def tokzoo_components():\n"
        "    return [tokzoo.ComponentSpec('quantizer', 'me/none', Config, Nothing, 'continuous')]\n"
    )
    change = ["quantizer.use=me/none", "regularizers.entropy=null"]
    tokzoo(*tokzoo.tiny, *change, "--plugin", str(plugin))
    (record,) = tokzoo.records()
    assert record["status"] == "ok"
    assert record["not_applicable"] == ["codes", "ar", "likelihood", "representation", "samples", "generation"]
    assert "ar" not in record["stages"]
    assert "reconstruction.psnr" in record["metrics"]


def test_two_runs_at_once_do_every_stage_once(tokzoo):
    runs = [tokzoo.start(*tokzoo.tiny) for _ in range(2)]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    (record,) = tokzoo.records()
    (log,) = tokzoo.folder.glob("runs/cache/ar/*/events.jsonl")
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == [10, 20, 30, 40]
    assert record["status"] == "ok"


def test_a_suite_in_a_file_names_recipes_track_seeds_and_grid(tokzoo):
    recipe, track = tokzoo.tiny[1], tokzoo.tiny[3]
    suite = tokzoo.folder / "mine.yaml"
    suite.write_text(f"recipes: ['{recipe}']\ntrack: '{track}'\nseeds: [0, 1]\ngrid: {{quantizer: [vq, fsq]}}\n")
    text = tokzoo("run", "mine.yaml", "track.dataset.root=fashion", "--dry-run").stdout
    assert "4 cells" in text
    assert "quantizer=fsq" in text


def stop_at(bench, cells, step, stage=None):
    """Run cells until a training is at that step, and press Ctrl-C."""

    def interrupt(cell, event):
        if stage in (None, event.get("stage")) and event.get("step", 0) >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(cells, interrupt)


@pytest.fixture
def half_the_cores(monkeypatch):
    """As many threads as each of two jobs at a time has: their number decides the last bits."""
    from tokzoo_executors import in_process

    cores = in_process.available_cores()
    monkeypatch.setattr(in_process, "available_cores", lambda: max(1, cores // 2))


def torch_state():
    import torch

    return (
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
    )


def test_in_this_process_a_cell_ends_as_in_one_of_its_own(finished, half_the_cores):
    import torch

    torch.set_default_dtype(torch.float64)  # as a notebook may have: nothing of it must reach the cell
    try:
        before = torch_state()
        bench, cells = in_process(finished.folder, out="inside")
        kinds = []

        def observe(cell, event):
            kinds.append(event["kind"])
            torch.rand(3)  # nor anything that whoever watches draws

        (outcome,) = bench.run(cells, observe)
        assert torch_state()[1:] == before[1:]
        assert torch_state()[0] == before[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert [outcome.record.id] == [record["id"] for record in finished.records()]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert list(finished.folder.glob("inside/cells/*/reconstructions.png"))


@pytest.mark.parametrize("stage", ["tokenizer", "ar"])
def test_interrupted_in_this_process_a_cell_goes_on_bit_for_bit(finished, half_the_cores, stage):
    bench, cells = in_process(finished.folder, out=f"stopped-{stage}")
    before = torch_state()

    stop_at(bench, cells, 20, stage)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tokzoo ")]
    assert torch_state() == before
    assert list(finished.folder.glob(f"stopped-{stage}/cache/{stage}/*/checkpoint.safetensors"))

    seen = []
    (outcome,) = bench.run(cells, lambda cell, event: seen.append(event))
    assert [event["step"] for event in seen if event.get("resumed")] == [20]
    assert [outcome.record.id] == [record["id"] for record in finished.records()]


def test_micro_batches_are_noted_kept_on_resume_and_no_part_of_a_key(finished, half_the_cores):
    changes = ["track.probe=null", "track.metrics=[psnr]"]
    bench, cells = in_process(finished.folder, *changes, out="cut", accumulate=2)
    stop_at(bench, cells, 20)
    bench, cells = in_process(finished.folder, *changes, out="cut", accumulate=4)
    (outcome,) = bench.run(cells)
    assert outcome.record.execution["tokenizer"]["accumulate"] == 2
    assert "accumulate" not in outcome.record.execution["reconstruction"]
    bench, cells = in_process(finished.folder, *changes, out="cut")
    assert bench.results(cells[0]) is not None


def test_a_stage_whose_note_of_how_it_runs_is_damaged_begins_anew(finished, half_the_cores):
    changes = ["track.probe=null", "track.metrics=[psnr]", "track.tokenizer.steps=12"]
    bench, cells = in_process(finished.folder, *changes, out="damaged", accumulate=2)
    stop_at(bench, cells, 10)
    (note,) = (finished.folder / "damaged").rglob("execution.json")
    note.write_text('{"tor\n')
    bench, cells = in_process(finished.folder, *changes, out="damaged", accumulate=100)
    (outcome,) = bench.run(cells)
    assert outcome.record.status == "ok"
    assert outcome.record.execution["tokenizer"]["accumulate"] == 8  # as many as the batch has images


def test_in_this_process_a_failing_cell_is_a_record_and_the_next_one_runs(finished, monkeypatch, half_the_cores):
    from tokzoo.bench import work

    changes = ["track.probe=null", "track.metrics=[psnr]", "track.tokenizer.steps=10"]
    bench, cells = in_process(finished.folder, *changes, out="failing")
    _, others = in_process(finished.folder, *changes, "quantizer.codes=32", out="failing")

    def leave(bench):
        raise SystemExit(3)

    monkeypatch.setattr(work, "reconstruction", leave)
    (failed,) = bench.run(cells)
    assert failed.record.failure.stage == "reconstruction"
    assert "SystemExit: 3" in failed.record.failure.message
    assert "SystemExit: 3" in bench.folder(cells[0]).log.read_text()

    # Not two at once: they would share torch's generators.
    from tokzoo.contracts.errors import TokzooError

    def nested(cell, event):
        with pytest.raises(TokzooError, match="under way already"):
            bench.run(cells)

    monkeypatch.undo()
    (fine,) = bench.run(others, nested)
    assert fine.record.status == "ok"
