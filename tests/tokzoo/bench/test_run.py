"""Cells, stages and the cache, through the command line."""

import json

import pytest


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
    (finished.folder / "fashion").rename(finished.folder / "moved")
    try:
        arguments = [text.replace("root=fashion", "root=moved") for text in finished.tiny]
        assert "0 cells run, 1 found done" in finished(*arguments).stdout
    finally:
        (finished.folder / "moved").rename(finished.folder / "fashion")


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
        "        raise RuntimeError('no such luck')\n"
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
    logs = [path.read_text() for path in tokzoo.folder.glob("runs/cells/*/log.txt")]
    assert any("RuntimeError: no such luck" in log for log in logs)


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
