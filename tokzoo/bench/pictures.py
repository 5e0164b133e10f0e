"""What a finished cell looks like: reconstructions, samples and training curves, as PNG in the cell's folder."""

from pathlib import Path

import torch

from tokzoo.bench.work import SAMPLES
from tokzoo.bench.workbench import Workbench
from tokzoo.contracts.configs import DatasetConfig
from tokzoo.data.codes import CodeSet
from tokzoo.data.feed import DeviceFeed
from tokzoo.data.run_folder import DONE, EVENTS, CellFolder
from tokzoo.evaluation.pictures import curves, reconstruction_grid, sample_grid, save_png
from tokzoo.evaluation.seeds import image_seeds
from tokzoo.training.events import read_lines

RECONSTRUCTED = 30
SAMPLES_PER_CLASS = 10
SAMPLES_SHOWN = 100
READ = {
    "reconstructions": ("tokenizer",),
    "tokenizer": ("tokenizer",),
    "ar": ("ar",),
    "samples": ("samples", "tokenizer"),
}
"""By picture: the stage that it shows, and others that are read for it."""


@torch.no_grad()
def draw_pictures(bench: Workbench, folder: CellFolder) -> None:
    """Write the pictures that are missing or older than what they show; all of them follow from the cached stages."""
    makers = {"reconstructions": _reconstructions, "tokenizer": _curves, "ar": _curves, "samples": _samples}
    for name in _missing(bench, folder):
        makers[name](bench, name, folder.picture(name))


def pictured(bench: Workbench, folder: CellFolder) -> list[str]:
    """The stages whose files are read for the pictures that are to be drawn."""
    return [stage for name in _missing(bench, folder) for stage in READ[name] if stage in bench.stages]


def _missing(bench: Workbench, folder: CellFolder) -> list[str]:
    recipe, probe = bench.cell.recipe, bench.cell.probe
    # What was not trained here has no curves.
    given = {"tokenizer": recipe.weights is not None, "ar": probe is not None and probe.ar.weights is not None}
    return [
        name
        for name, (shown, *_) in READ.items()
        if shown in bench.stages
        and not given.get(name)
        and not _is_newer(folder.picture(name), bench.folder(shown) / DONE)
    ]


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _reconstructions(bench: Workbench, name: str, path: Path) -> None:
    split = bench.dataset.val
    indices = torch.arange(min(RECONSTRUCTED, len(split)))
    images, _ = DeviceFeed(split, bench.device).batch(indices)
    reconstructions, _ = bench.tokenizer.reconstruct(images, image_seeds(bench.seed, "reconstruction", indices))
    save_png(reconstruction_grid(images, reconstructions), path)


def _curves(bench: Workbench, name: str, path: Path) -> None:
    events = read_lines(bench.folder(name) / EVENTS)
    save_png(curves(events, f"{bench.cell.recipe.name}, {name}"), path)


def _samples(bench: Workbench, name: str, path: Path) -> None:
    codes = CodeSet.load(bench.folder(name) / SAMPLES)
    names = bench.cell.track.dataset.config
    assert isinstance(names, DatasetConfig)
    shown = slice(0, len(names.class_names() or ()) * SAMPLES_PER_CLASS or SAMPLES_SHOWN)
    labels = None if codes.labels is None else codes.labels[shown]
    drawn = codes.codes[0, shown].long().to(bench.device)
    images = bench.tokenizer.decode(drawn, image_seeds(bench.seed, "generation", torch.arange(len(drawn))))
    save_png(sample_grid(images, labels, names.class_names()), path)
