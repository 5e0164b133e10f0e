import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.pixels import to_unit
from tokzoo.evaluation.pictures import (
    GAP,
    MARGIN,
    POINTS,
    SEPARATOR,
    curves,
    reconstruction_grid,
    sample_grid,
    save_png,
)


def flat(levels, channels=1, side=32):
    """Images of one level each."""
    return to_unit(torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, side, side))


def left_of(array):
    """Where the cells begin: the first column, after the labels, that is not paper all along the first cell row."""
    row = array[MARGIN + 1]
    return int(np.flatnonzero((row != 255).any(-1))[0])


@pytest.mark.parametrize(("channels", "side", "scale"), [(1, 32, 3), (3, 64, 2), (3, 128, 1), (1, 200, 1)])
def test_each_reconstruction_is_under_its_original(channels, side, scale):
    levels = np.arange(13) * 10
    picture = reconstruction_grid(flat(levels, channels, side), flat(levels + 125, channels, side))
    array = np.asarray(picture)
    cell, left = side * scale, left_of(array)
    assert picture.mode == "RGB"
    assert picture.width == left + 10 * cell + 9 * SEPARATOR + MARGIN
    assert picture.height == 2 * MARGIN + 4 * cell + 2 * SEPARATOR + GAP
    for number, level in enumerate(levels):
        x = left + number % 10 * (cell + SEPARATOR)
        y = MARGIN + number // 10 * (2 * cell + SEPARATOR + GAP)
        below = y + cell + SEPARATOR
        assert (array[y : y + cell, x : x + cell] == level).all()
        assert (array[below : below + cell, x : x + cell] == level + 125).all()
        assert (array[y + cell : below, x : x + cell] == 255).all()
        assert (array[y : y + cell, x + cell : x + cell + SEPARATOR] == 255).all()
    assert (array[-MARGIN - 1, left + 3 * (cell + SEPARATOR) :] == 255).all()  # after the last image there is paper
    assert (array[:, : left - MARGIN] < 120).any()  # the rows are named


def test_pixels_are_shown_as_they_are():
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, :, :2, 0] = 0  # so that the cell's edge can be found
    array = np.asarray(sample_grid(to_unit(pixels), None, None))
    shown = array[MARGIN : MARGIN + 96, MARGIN : MARGIN + 96]
    assert np.array_equal(shown[1::3, 1::3], pixels[0].permute(1, 2, 0).numpy())
    assert np.array_equal(shown[::3, ::3], shown[2::3, 2::3])


def test_colours_and_clamping():
    images = torch.tensor([2.0, -1.0, -3.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    array = np.asarray(sample_grid(images, None, None))
    assert array[MARGIN, MARGIN].tolist() == [255, 0, 0]


def test_a_row_for_each_class_in_label_order():
    labels = torch.tensor([2, 0, 2, 0, 0, 3])
    levels = np.array([20, 1, 21, 2, 3, 30])
    array = np.asarray(sample_grid(flat(levels), labels, ["shirt", "none", "a very long name of a class", "shoe"]))
    left = left_of(array)
    found = [[array[MARGIN + r * 98 + 40, left + c * 98 + 40, 0] for c in range(3)] for r in range(3)]
    assert found == [[1, 2, 3], [20, 21, 255], [30, 255, 255]]
    assert array.shape[:2] == (2 * MARGIN + 3 * 96 + 2 * SEPARATOR, left + 3 * 96 + 2 * SEPARATOR + MARGIN)
    names = [array[MARGIN + r * 98 : MARGIN + r * 98 + 96, : left - MARGIN] for r in range(3)]
    inked = [int((name.min(-1) < 128).any(0).sum()) for name in names]
    assert inked[1] > inked[0] > 10  # each class is named, the long name beside the second row
    assert left < 200


def test_many_samples_and_many_classes_are_cut():
    levels = np.zeros(60, np.uint8)
    one = sample_grid(flat(levels), torch.zeros(60, dtype=torch.int64), ["x", "y"])
    assert one.height == 2 * MARGIN + 96
    many = sample_grid(flat(levels), torch.arange(60), list(map(str, range(60))))
    assert many.height == 2 * MARGIN + 20 * 96 + 19 * SEPARATOR


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="do not match"):
        reconstruction_grid(flat([1, 2]), flat([1]))
    with pytest.raises(ValueError, match=r"\[0, 1, 32, 32\]"):
        reconstruction_grid(flat([]), flat([]))
    for labels, names in (([0, 5], ["x"]), ([0, 0], None), ([-1, 0], ["x"]), ([0], ["x"])):
        with pytest.raises(ValueError, match="do not match"):
            sample_grid(flat([1, 2]), torch.tensor(labels), names)


def events(count=40, **terms):
    return [
        {"step": 10 * (i + 1), "total": 10 * count, "lr": 1e-3, "images_per_s": 5.0, "grad_norm": 1.0}
        | {name: value(i) for name, value in terms.items()}
        for i in range(count)
    ]


def drawn(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_curves_by_kind():
    log = events(
        loss=lambda i: 1 / (i + 1),
        **{
            "entropy.codebook": lambda i: -4.0 + i,
            "quantizer.commitment": lambda i: 0.01,
            "quantizer.usage": lambda i: i / 40,
            "patchgan.adversary.grad_norm": lambda i: 9.0,
        },
    )
    figure = curves(log, "tiny, seed 0: $tokenizer$")
    positive, signed, usage = figure.axes
    assert list(drawn(positive)) == ["loss", "quantizer.commitment"]
    assert list(drawn(signed)) == ["entropy.codebook"]
    assert list(drawn(usage)) == ["quantizer.usage"]
    assert (positive.get_yscale(), signed.get_yscale(), usage.get_yscale()) == ("log", "linear", "linear")
    assert usage.get_ylim() == (0, 1)
    assert np.allclose(drawn(positive)["loss"], [[10 * (i + 1), 1 / (i + 1)] for i in range(40)])
    assert figure.get_suptitle() == "tiny, seed 0: $tokenizer$"


def test_a_narrow_range_is_linear_and_equal_curves_are_one():
    (axes,) = curves(events(loss=lambda i: 4 - i / 40, nats_per_token=lambda i: 4 - i / 40), "ar").axes
    assert axes.get_yscale() == "linear"
    assert list(drawn(axes)) == ["loss\n= nats_per_token"]


def test_a_term_may_come_and_go():
    log = events(loss=lambda i: 1.0)
    for event in log[10:20]:
        event["shortcut"] = 2.0
    log.insert(3, {"step": 30, "total": 400, "resumed": True})
    (axes,) = curves(log, "x").axes
    assert drawn(axes)["shortcut"][:, 0].tolist() == [10.0 * step for step in range(11, 21)]
    assert len(drawn(axes)["loss"]) == 40


def test_long_curves_are_thinned_by_their_means():
    (axes,) = curves(events(3 * POINTS, loss=lambda i: 2.0 + i % 3), "x").axes
    points = drawn(axes)["loss"]
    assert points.shape == (POINTS, 2)
    assert points[0].tolist() == [20.0, 3.0]
    assert np.allclose(points[:, 1], 3.0)


def test_nothing_logged():
    for log in ([], [{"step": 5, "total": 10, "resumed": True}]):
        with pytest.raises(TokzooError, match="x: no training step is logged yet"):
            curves(log, "x")


def test_files_are_whole(tmp_path):
    save_png(reconstruction_grid(flat([1]), flat([2])), tmp_path / "new" / "grid.png")
    save_png(curves(events(1, loss=lambda i: 1.0), "x"), tmp_path / "new" / "curves.png")
    for name in ("grid.png", "curves.png"):
        with Image.open(tmp_path / "new" / name) as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["curves.png", "grid.png"]


def test_matplotlib_is_imported_late_and_pyplot_never():
    code = (
        "import sys; from tokzoo.evaluation import pictures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "pictures.curves([{'step': 1, 'loss': 1.0}], 'x')\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
