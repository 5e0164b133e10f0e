"""``tokzoo compat``."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tokzoo.cli.common import AsJson, PluginFiles, Strict, console, open_registry, print_json
from tokzoo.contracts.configs import DatasetConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.registry.plugins import Registry

if TYPE_CHECKING:
    from tokzoo.recipes.compat import Fit

FITS = "✓"
NOBODY = "–"


def compat(
    track: Annotated[
        str | None, typer.Option("--track", help="Use this track's images and classes. Default: 3×32×32, 10 classes.")
    ] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="GLOB", help="Only such encoders.")] = None,
    quantizer: Annotated[str | None, typer.Option("--quantizer", metavar="GLOB", help="Only such quantizers.")] = None,
    decoder: Annotated[str | None, typer.Option("--decoder", metavar="GLOB", help="Only such decoders.")] = None,
    ar: Annotated[str | None, typer.Option("--ar", metavar="GLOB", help="Only such AR models.")] = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
    json: AsJson = False,
) -> None:
    """Show which encoder, quantizer, decoder and AR model fit together, and why the others do not.

    Each component is tried in its small example config; nothing is built.

      tokzoo compat --quantizer 'me/*'
    """
    from tokzoo.recipes.compat import compatibility

    registry = open_registry(plugin, strict_plugins)
    image, classes = _images(registry, track)
    globs = {"encoder": encoder, "quantizer": quantizer, "decoder": decoder, "ar": ar}
    fits = compatibility(registry.components, image, classes, globs)
    if json:
        print_json([asdict(fit) for fit in fits])
        return
    _print(fits, f"{image}, {'no' if classes is None else classes} classes")


def _images(registry: Registry, track: str | None) -> tuple[ImageSpec, int | None]:
    """The images and the number of classes that components are asked about."""
    from tokzoo.recipes.compat import CLASSES, IMAGE
    from tokzoo.recipes.load import load_track

    if track is None:
        return IMAGE, CLASSES
    dataset = cast(DatasetConfig, load_track(track, registry).dataset.config)
    try:
        names = dataset.class_names()
    except TokzooError as error:
        # The files of a large dataset are often elsewhere, and seldom does their number of classes decide what fits.
        typer.echo(f"warning: the classes cannot be counted ({error}); taken to be {CLASSES}", err=True)
        return dataset.image_spec(), CLASSES
    return dataset.image_spec(), len(names) if names else None


class _Notes:
    """Reasons, numbered as they come; one that comes again keeps its number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, reason: str) -> str:
        return str(self.numbers.setdefault(reason, len(self.numbers) + 1))


def _print(fits: "list[Fit]", images: str) -> None:
    from rich.text import Text

    shown, notes = console(), _Notes()
    shown.print(Text("tokenizers", style="bold"), Text(f"of a {images}; each component in its example config"))
    shown.print(_tokenizers(fits, notes))
    if any(fit.ar for fit in fits):
        shown.print(
            Text("AR models", style="bold"), Text(f"that learn their codes ({NOBODY}: there are none to learn)")
        )
        shown.print(_models(fits, notes))
    for reason, number in notes.numbers.items():
        shown.print(Text(f"{number:>3}  {reason}"))
    good = sum(fit.refusal is None for fit in fits)
    shown.print(Text(f"{good} of {len(fits)} combinations fit"))


def _tokenizers(fits: "list[Fit]", notes: _Notes) -> Any:
    """One row per pair of encoder and decoder, one column per quantizer."""
    from rich.table import Table

    cells: dict[tuple[str, str], dict[str, str]] = {}
    for fit in fits:
        # A tokenizer that an AR model refuses is still a tokenizer.
        works = fit.refusal is None or fit.by == "ar"
        row = cells.setdefault((fit.encoder, fit.decoder), {})
        row[fit.quantizer] = FITS if works else notes(fit.refusal or "")
    quantizers = _names(fit.quantizer for fit in fits)
    table = Table("encoder", "decoder", *quantizers, header_style="bold")
    above = None
    for (encoder, decoder), row in cells.items():
        if encoder != above:
            table.add_section()
        table.add_row("" if encoder == above else encoder, decoder, *(row[quantizer] for quantizer in quantizers))
        above = encoder
    return table


def _models(fits: "list[Fit]", notes: _Notes) -> Any:
    """One row per AR model, one column per quantizer; its answer may differ between encoders."""
    from rich.table import Table

    told: dict[str, dict[str, list[Fit]]] = {}
    for fit in fits:
        if fit.ar:
            told.setdefault(fit.ar, {}).setdefault(fit.quantizer, []).append(fit)
    quantizers = _names(fit.quantizer for fit in fits)
    table = Table("AR model", *quantizers, header_style="bold")
    for model, row in told.items():
        table.add_row(model, *(_model_cell(row.get(quantizer, []), notes) for quantizer in quantizers))
    return table


def _model_cell(fits: "list[Fit]", notes: _Notes) -> str:
    """What an AR model makes of a quantizer's codes, over all tokenizers with that quantizer."""
    refused: dict[str, list[str]] = {}
    for fit in fits:
        if fit.by == "ar":
            refused.setdefault(fit.refusal or "", []).append(fit.encoder)
    learns = any(fit.refusal is None for fit in fits)
    said = [FITS] if learns else []
    for reason, encoders in refused.items():
        alone = not learns and len(refused) == 1
        said.append(notes(reason if alone else f"{reason} (with encoder {', '.join(_names(encoders))})"))
    return " ".join(said) or NOBODY


def _names(names: Iterable[str]) -> list[str]:
    """Names in their order, each once."""
    return list(dict.fromkeys(names))
