"""What a track takes away of pictures of one's own is told in one line, with what would keep it."""

from pathlib import Path

import pytest
from PIL import Image

from tokzoo.bench.own_images import losses
from tokzoo.bench.plan import Request, doubts, make_cells, make_plan
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.load import Axis, Changes
from tokzoo.registry.plugins import load_registry

GREY = "pictures such as 0.png (300×200, in colour) are made grey, cut to their central square, resized to 32×32"
COLOUR, SIZE = "track.dataset.channels=3 keeps colour", "track.dataset.size=128 keeps more of their size"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function from pictures of a mode and a size, and changes, to what is told of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKZOO_CACHE", "cache")

    def told(mode, size, *changes, axes=(), teacher=False):
        Path("photos").mkdir(exist_ok=True)
        for number in range(20):
            Image.new(mode, size, number).save(f"photos/{number}.png")
        changes = Changes.parse(changes if teacher else ("regularizers.perceptual=null", *changes))
        request = Request(("gigatok-2d-nano",), changes, "fashion-quick", Path("photos"), axes=axes)
        registry = load_registry()
        cells = make_cells(make_plan(request, registry), registry)
        return losses(request, cells, registry.components)

    return told


def test_few_pictures_to_judge_by_are_told_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKZOO_CACHE", str(tmp_path / "cache"))
    for name in (f"{split}/{number}.png" for split, many in (("train", 3), ("val", 100)) for number in range(many)):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (32, 32), 9).save(tmp_path / "photos" / name)
    request = Request(("gigatok-2d-nano",), Changes(), "fashion-quick", tmp_path / "photos", seeds=(0, 1))
    registry = load_registry()

    def lines():
        return [line for line in doubts(make_cells(make_plan(request, registry), registry)) if "judge" in line]

    assert lines() == []
    (tmp_path / "photos" / "val" / "7.png").unlink()
    few = "track.dataset has 99 of 102 pictures to judge by; fewer than 100 say little: add some to its folder val"
    assert [line.partition(": ")[2] for line in lines()] == [few]
    (tmp_path / "photos" / "train").rename(tmp_path / "photos" / "learn")
    (line,) = lines()
    assert line.endswith("fewer than 100 say little: add some, or raise track.dataset.val_fraction")


@pytest.mark.parametrize(
    ("mode", "size", "changes", "said"),
    [
        ("RGB", (300, 200), (), f"photos: {GREY}; {COLOUR}, {SIZE}"),
        ("P", (32, 32), (), f"photos: pictures such as 0.png (32×32, in colour) are made grey; {COLOUR}"),
        ("L", (48, 48), (), "0.png (48×48) are resized to 32×32; track.dataset.size=48 keeps more of their size"),
        ("L", (50, 50), (), "0.png (50×50) are resized to 32×32"),
        (
            "RGB",
            (300, 200),
            ("track.dataset.channels=3",),
            f"are cut to their central square, resized to 32×32; {SIZE}",
        ),
        ("RGB", (300, 200), ("track.dataset.size=64",), f"are made grey; {COLOUR}"),
        ("RGB", (300, 200), ("track.dataset.size=64", "track.dataset.channels=1"), None),
        ("L", (32, 32), (), None),
        ("I;16", (20, 20), (), None),
    ],
)
def test_what_is_lost_is_told_once_with_what_keeps_it(told, mode, size, changes, said):
    found = told(mode, size, *changes)
    assert len(found) == (said is not None)
    assert all(line.endswith(said) for line in found)


def test_what_keeps_it_says_all_that_has_to_be_dropped_for_it(told):
    (line,) = told("RGB", (64, 64), teacher=True)
    assert "; track.dataset.channels=3 regularizers.perceptual=null keeps colour, track.dataset.size=64 reg" in line
    assert told("RGB", (64, 64), "track.dataset.channels=3", "track.dataset.size=64") == []


def test_what_a_grid_asks_for_is_not_told(told):
    assert told("L", (64, 64), axes=(Axis("track.dataset.size", (32, 64)),)) == []


def test_a_recipe_that_cannot_take_them_names_the_field_to_set(told):
    with pytest.raises(TokzooError, match=r"has learned from a 1×32×32 image.* \(set regularizers.p.use, or drop"):
        told("RGB", (64, 64), "track.dataset.channels=3", "regularizers.p={use: feature, teacher: fashion}")
