"""What one looks at: reconstructions under their originals, samples by class, and the curves of a training.

Pure functions from tensors and log events to a Pillow image or a matplotlib figure, and one that writes either.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import write_atomic
from tokzoo.data.pictures import Pixels, to_picture, write_png
from tokzoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 10
ROWS = 20
"""Sample grids show so many classes; of more, the first."""

MARGIN = 10
SEPARATOR = 2
GAP = 10
"""Pixels around a grid, between its cells, and between rows that do not belong together."""

SMALL = 128
LARGEST_SCALE = 3
"""Images whose sides stay within ``SMALL`` pixels are shown two or three times as large."""

FONT_SIZE = 15
LABEL_WIDTH = 150
PAPER, INK = (255, 255, 255), (60, 60, 60)


@dataclass(frozen=True, slots=True)
class _Row:
    """Cells side by side, a name before them, and the space above."""

    cells: Sequence[Pixels]
    label: str
    above: int


def reconstruction_grid(images: Tensor, reconstructions: Tensor) -> Image.Image:
    """Originals, ten a row, and below each its reconstruction.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1], one or three channels.
        reconstructions: the same images as the tokenizer gives them back.

    Raises:
        ValueError: there are none, or the two have different shapes.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(f"images {list(images.shape)} and reconstructions {list(reconstructions.shape)} do not match")
    above, below = _pixels(images), _pixels(reconstructions)
    rows = []
    for start in range(0, len(above), COLUMNS):
        stop = start + COLUMNS
        rows += [_Row(above[start:stop], "original", GAP), _Row(below[start:stop], "reconstruction", SEPARATOR)]
    return _sheet(rows)


def sample_grid(images: Tensor, labels: Tensor | None, class_names: Sequence[str] | None) -> Image.Image:
    """Samples, a row for each class with its name before it; without labels, rows of ten.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1], one or three channels.
        labels: int64 ``[N]``, or None.
        class_names: in label order; None without labels.

    Raises:
        ValueError: there are no images, or no name for a label.
    """
    pixels = _pixels(images)
    if labels is None:
        rows = [_Row(pixels[i : i + COLUMNS], "", SEPARATOR) for i in range(0, len(pixels), COLUMNS)]
        return _sheet(rows)
    numbers = labels.cpu().numpy()
    shown = np.unique(numbers)[:ROWS]
    if class_names is None or len(numbers) != len(pixels) or not 0 <= shown[0] <= numbers.max() < len(class_names):
        raise ValueError(f"{len(numbers)} labels of {len(pixels)} images, and names {class_names}, do not match")
    chosen = {number: np.flatnonzero(numbers == number)[:COLUMNS] for number in shown}
    return _sheet([_Row([pixels[i] for i in some], class_names[n], SEPARATOR) for n, some in chosen.items()])


def _pixels(images: Tensor) -> list[Pixels]:
    if images.ndim != 4 or not len(images):
        raise ValueError(f"expected images [N, C, H, W], found {list(images.shape)}")
    return list(to_uint8(images.detach()).cpu().numpy())


def _sheet(rows: Sequence[_Row]) -> Image.Image:
    """Rows of equally large cells on one page; the space above the first row is the margin."""
    _, height, width = rows[0].cells[0].shape
    scale = max(1, min(LARGEST_SCALE, SMALL // max(height, width)))
    height, width = height * scale, width * scale
    font = ImageFont.load_default(FONT_SIZE)
    labels = [_fitting(row.label, font.getlength) for row in rows]
    left = max(math.ceil(font.getlength(label)) for label in labels)
    left += MARGIN + (MARGIN if left else 0)
    columns = max(len(row.cells) for row in rows)
    right = left + columns * (width + SEPARATOR) - SEPARATOR + MARGIN
    bottom = 2 * MARGIN + len(rows) * height + sum(row.above for row in rows[1:])
    page = Image.new("RGB", (right, bottom), PAPER)
    draw = ImageDraw.Draw(page)
    top = MARGIN
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top += row.above if number else 0
        draw.text((left - MARGIN, top + height // 2), label, INK, font, anchor="rm")
        for column, cell in enumerate(row.cells):
            picture = to_picture(cell).resize((width, height), Image.Resampling.NEAREST)
            page.paste(picture, (left + column * (width + SEPARATOR), top))
        top += height
    return page


def _fitting(label: str, length: Callable[[str], float]) -> str:
    """The label, cut short where it is too wide."""
    if length(label) <= LABEL_WIDTH:
        return label
    while length(f"{label}…") > LABEL_WIDTH:
        label = label[:-1]
    return f"{label.rstrip()}…"


ABOUT = frozenset({"step", "total", "lr", "images_per_s"})
"""What a log event says beside its terms."""

CODEBOOK = {"usage": "codebook: share of the codes", "dead": "codebook: share of the codes", "perplexity": "codebook"}
"""Where a quantizer's statistics are drawn, by the end of their names."""

POINTS = 300
"""Longer curves are drawn by the means of equal stretches."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f")
"""Told apart by the colour-blind too (Okabe and Ito); the total loss is black."""

Curve = tuple[list[float], list[float]]
"""Steps and values."""


def curves(events: Iterable[Mapping[str, Any]], title: str) -> "Figure":
    """Loss terms over training, and how the codebook was used where that was logged.

    Terms that are always positive share one axis, logarithmic where they span more than a factor of ten; the others
    have a linear one.

    Args:
        events: the lines of a training stage's log.
        title: stands above.

    Raises:
        TokzooError: there is nothing to show.
    """
    # Half a second to import, and only needed here. Without pyplot there is no state to leave behind.
    from matplotlib.figure import Figure

    found = _series(events)
    if not found:
        raise TokzooError(f"{title}: no training step is logged yet")
    panels = _panels(found)
    figure = Figure(figsize=(8.0, 0.6 + 2.8 * len(panels)), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (what, series) in zip(all_axes, panels.items(), strict=True):
        _draw(axes, series)
        axes.set_title(what, fontsize=10, loc="left")
        values = [value for _, column in series.values() for value in column]
        if what == CODEBOOK["usage"]:
            axes.set_ylim(0, 1)
        elif min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
    axes.set_xlabel("step")
    return figure


def _panels(found: Mapping[str, Curve]) -> dict[str, dict[str, Curve]]:
    order = ("loss", "loss, of either sign", *CODEBOOK.values())
    panels: dict[str, dict[str, Curve]] = {what: {} for what in order}
    for name, curve in found.items():
        loss = "loss" if min(curve[1]) > 0 else "loss, of either sign"
        panels[CODEBOOK.get(name.rpartition(".")[2], loss)][name] = curve
    return {what: series for what, series in panels.items() if series}


def _series(events: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Each term's curve by name: the total first, then in order of names; gradient norms are left out."""
    found: dict[str, Curve] = {}
    for event in events:
        for name, value in event.items():
            if name in ABOUT or name.rpartition(".")[2] == "grad_norm" or isinstance(value, bool | str | None):
                continue
            steps, values = found.setdefault(name, ([], []))
            steps.append(float(event["step"]))
            values.append(float(value))
    return {name: _thinned(found[name]) for name in sorted(found, key=lambda name: (name != "loss", name))}


def _thinned(curve: Curve) -> Curve:
    length = math.ceil(len(curve[0]) / POINTS)
    if length == 1:
        return curve
    steps, values = ([column[i : i + length] for i in range(0, len(column), length)] for column in curve)
    return [math.fsum(part) / len(part) for part in steps], [math.fsum(part) / len(part) for part in values]


def _draw(axes: "Axes", series: Mapping[str, Curve]) -> None:
    lines: dict[tuple[tuple[float, ...], ...], str] = {}
    for name, curve in series.items():
        # Of equal curves one would hide the other: they are drawn as one, under both names.
        points = tuple(map(tuple, curve))
        lines[points] = f"{lines[points]}\n= {name}" if points in lines else name
    colours = itertools.cycle(COLOURS)
    for number, ((steps, values), label) in enumerate(lines.items()):
        colour = "black" if label.partition("\n")[0] == "loss" else next(colours)
        dashes = "-" if number <= len(COLOURS) else "--"
        mark = "o" if len(steps) == 1 else ""
        axes.plot(steps, values, dashes, color=colour, linewidth=1.4, marker=mark, markersize=4, label=label)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def save_png(picture: "Image.Image | Figure", path: Path) -> None:
    """Write a grid or a figure to a PNG file, in one step."""
    if isinstance(picture, Image.Image):
        write_png(picture, path)
    else:
        write_atomic(path, lambda temporary: picture.savefig(temporary, format="png"))
