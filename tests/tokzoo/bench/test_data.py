"""``--data``: anyone's images, instead of the track's."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import FASHION

MODES = ("L", "RGB", "RGBA", "P", "CMYK")


@pytest.fixture
def photos(tokzoo):
    """300 JPEG and PNG files of mixed sizes and modes, in three class folders."""
    with np.load(FASHION / "train.npz") as arrays:
        images = arrays["images"][:300]
    for i, pixels in enumerate(images):
        mode = MODES[i % len(MODES)]
        picture = Image.fromarray(pixels).resize((28 + i % 17, 28 + i % 23)).convert("RGB").convert(mode)
        ending = "jpg" if mode in ("L", "RGB", "CMYK") and i % 2 else "png"
        if mode == "CMYK" and ending == "png":
            picture = picture.convert("RGB")
        folder = tokzoo.folder / "photos" / f"class{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{i}.{ending}")
    return tokzoo.folder / "photos"


def run(tokzoo, *more, code=0):
    arguments = [text for text in tokzoo.tiny if not text.startswith("track.dataset.root")]
    steps = ["track.tokenizer.steps=10", "track.probe.steps=10"]
    return tokzoo(*arguments, *steps, *more, code=code, env={"TOKZOO_CACHE": str(tokzoo.folder / "packed")})


def test_a_folder_trains_and_what_means_nothing_there_is_left_out(tokzoo, photos):
    told = run(tokzoo, "--data", "photos").stderr
    assert "not measured on dataset 'images'" in told
    assert "fd-fashion, sample-fd-fashion, sample-accuracy" in told
    (record,) = tokzoo.records()
    assert record["status"] == "ok"
    assert record["track"]["content"]["dataset"]["use"] == "images"
    assert {"reconstruction.psnr", "probe.ar_linear"} <= record["metrics"].keys()
    assert not [metric for metric in record["metrics"] if "fd_fashion" in metric or "accuracy" in metric]
    assert record["shapes"]["image"] == {"channels": 1, "size": [32, 32]}
    assert str(tokzoo.folder) not in json.dumps(record)


def test_a_truncated_file_is_named(tokzoo, photos):
    path = next(photos.glob("*/*.jpg"))
    path.write_bytes(path.read_bytes()[:200])
    done = run(tokzoo, "--data", "photos", code=1)
    assert path.name in done.stdout + done.stderr
    run(tokzoo, "--data", "photos", "track.dataset.skip_corrupt=true")


@pytest.mark.parametrize("what", ["missing", "file", "empty", "one class"])
def test_a_folder_that_is_none_is_told_before_training(tokzoo, what):
    place = tokzoo.folder / "place"
    if what == "file":
        place.write_text("not a folder")
    elif what != "missing":
        place.mkdir()
    if what == "one class":
        (place / "only").mkdir()
        Image.new("L", (30, 30)).save(place / "only" / "a.png")
    done = run(tokzoo, "--data", "place", code=2)
    assert "place" in done.stderr
    assert not (tokzoo.folder / "runs").exists()
