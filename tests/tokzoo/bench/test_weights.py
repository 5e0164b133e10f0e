"""A saved tokenizer judged as it is: nothing of it is trained, and its record says so."""

import json
import shutil

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def judged(finished):
    """The finished run's own tokenizer, judged as if it had come from elsewhere, for two seeds of the AR model."""
    (folder,) = (finished.folder / "runs" / "cache" / "tokenizer").iterdir()
    shutil.copytree(folder, finished.folder / "saved")
    finished.judged = finished(*finished.tiny, "weights=saved", "--seeds", "0-1", "--out", "judged").stdout
    return finished


def test_it_is_judged_like_the_one_that_was_trained(judged):
    (trained,) = judged.records()
    for record in judged.records("judged"):
        assert record["origin"] == "imported"
        assert record["metrics"]["reconstruction.psnr"] == trained["metrics"]["reconstruction.psnr"]
        assert record["recipe"]["content"]["weights"].startswith("sha256:")
        names = record["recipe"].pop("name"), record["recipe"]["content"].pop("name")
        assert names == ("tiny weights=saved",) * 2, "the last name of the folder, and no path"
        assert "saved" not in json.dumps(record)
    same_seed = next(record for record in judged.records("judged") if record["seed"] == 0)
    assert same_seed["metrics"]["ar.bits_per_image"] == trained["metrics"]["ar.bits_per_image"]


def test_it_is_the_same_for_every_seed(judged):
    first, second = judged.records("judged")
    assert first["stages"]["tokenizer"] == second["stages"]["tokenizer"]
    assert first["stages"]["ar"] != second["stages"]["ar"]
    (folder,) = (judged.folder / "judged" / "cache" / "tokenizer").iterdir()
    assert not (folder / "events.jsonl").exists()


@pytest.fixture(scope="module")
def with_its_ar_model(judged):
    """Both models of the finished run, judged as they are."""
    (folder,) = (judged.folder / "runs" / "cache" / "ar").iterdir()
    shutil.copytree(folder, judged.folder / "gpt")
    judged(*judged.tiny, "weights=saved", "ar.weights=gpt", "--seeds", "0-1", "--out", "both")
    return judged


def test_an_ar_model_is_judged_with_the_weights_it_comes_with(with_its_ar_model):
    (trained,) = with_its_ar_model.records()
    first, second = with_its_ar_model.records("both")
    for record in (first, second):
        assert record["origin"] == "imported"
        mine, its = (each["metrics"]["ar.bits_per_image"] for each in (record, trained))
        assert mine["value"] == its["value"]
        assert mine["protocol"] != its["protocol"], "one was trained by the track, and the other was not"
        assert record["recipe"]["content"]["ar"]["weights"].startswith("sha256:")
        assert record["probe"] != trained["probe"]
    assert first["stages"]["ar"] == second["stages"]["ar"]
    assert first["stages"]["samples"] != second["stages"]["samples"]
    (folder,) = (with_its_ar_model.folder / "both" / "cache" / "ar").iterdir()
    assert not (folder / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ("ar.weights=gpt", "quantizer.codes=32"),
            "gpt learned 4×4 codes of 64 and 10 classes, and here are 4×4 codes of 32",
        ),
        (("ar={weights: gpt, width: 32}",), "ar.width: gpt was made with width 16"),
        (("track.probe.ar={weights: gpt}",), "a track trains the AR model that judges"),
    ],
)
def test_an_ar_model_that_does_not_fit_is_told_before_anything_is_done(with_its_ar_model, changes, said):
    line = with_its_ar_model
    assert said in line(*line.tiny, *changes, "--out", "none", code=2).stderr
    assert not (line.folder / "none").exists()


def test_the_table_says_where_it_is_from(judged):
    assert "imported" in judged.judged


def test_a_saved_tokenizer_runs_by_its_folder_and_a_cell_by_its_own(judged):
    (cell,) = (judged.folder / "runs" / "cells").iterdir()
    for folder in ("saved", str(cell)):
        arguments = [folder if argument.endswith("tiny.yaml") else argument for argument in judged.tiny]
        said = judged(*arguments, "--out", "judged").stdout
        assert "0 cells run, 1 found done" in said
        assert "imported" in said
        assert "tiny weights=" in said


OTHER = "track.dataset={use: images, root: pictures, size: 16}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("weights=nowhere",), "weights: nowhere: no such folder"),
        (("weights=saved", "decoder.layers=2"), "was made with decoder.layers 1, and this recipe says 2"),
        (("weights=saved", OTHER), "weights: saved is of a 1×32×32 image, and track tiny@1"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_done(judged, changes, said):
    pictures = judged.folder / "pictures"
    for number in range(20):
        (pictures / str(number % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(pictures / str(number % 2) / f"{number}.png")
    plain = [argument for argument in judged.tiny if not (OTHER in changes and argument.startswith("track.dataset"))]
    env = {"TOKZOO_CACHE": str(judged.folder / "cache")}
    done = judged(*plain, *changes, "--out", "none", code=2, env=env)
    assert said in done.stderr
    assert not (judged.folder / "none").exists()


def test_a_cell_stands_for_its_tokenizer(finished):
    (cell,) = (finished.folder / "runs" / "cells").iterdir()
    told = finished("explain", finished.tiny[1], f"init={cell}").stdout.splitlines()
    (folder,) = [line for line in told if "init.folder" in line]
    assert "cache/tokenizer/" in folder
    assert folder.rstrip().endswith("command line")
