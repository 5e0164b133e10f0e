"""``tokzoo encode`` and ``tokzoo decode``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tokzoo.cli.common import Out, PluginFiles, Strict, registry
from tokzoo.contracts.errors import TokzooError, suggest

TokenizerName = Annotated[
    str,
    typer.Option("--tokenizer", metavar="FOLDER|CELL|RECORD", help="A saved tokenizer, or a run's cell or record id."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Pictures at a time.")]


def encode(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Picture files, or folders of them.")],
    tokenizer: TokenizerName,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Such as codes.safetensors.")],
    out: Out = Path("runs"),
    device: Device = "auto",
    batch: Batch = 64,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Turn pictures into codes.

    Each picture is cut to the largest central part of the aspect the tokenizer was trained on, and resized:

      tokzoo encode photos/ -o codes.safetensors --tokenizer runs/cells/NAME
    """
    where = find_tokenizer(tokenizer, out)
    if output.is_dir():
        raise TokzooError(f"-o {output}: this is a folder; name a file, such as {output / 'codes.safetensors'}")
    check_place("-o", output)
    from tokzoo.data.pictures import name_pictures

    named = name_pictures(images)
    found = registry(plugin, strict_plugins)
    # torch is slow to import, and not needed to find mistakes above.
    from tokzoo.assembly.codes_file import CodesFile, Maker, encode_pictures
    from tokzoo.assembly.tokenizer import Tokenizer

    loaded = Tokenizer.load(where, found, _device(device))
    codes = encode_pictures(loaded, list(named.values()), batch)
    CodesFile(codes, tuple(named), Maker.of(loaded, where)).save(output)
    typer.echo(f"{len(named)} images, {loaded.chain.codes} each: {output}")


def decode(
    codes: Annotated[Path, typer.Argument(metavar="CODES", help="A file that tokzoo encode wrote.")],
    tokenizer: TokenizerName,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new folder, or an empty one.")],
    out: Out = Path("runs"),
    device: Device = "auto",
    batch: Batch = 64,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Turn codes back into pictures: PNG files, named after the originals.

    It takes the tokenizer that made the codes:

      tokzoo decode codes.safetensors -o pictures/ --tokenizer runs/cells/NAME
    """
    where = find_tokenizer(tokenizer, out)
    check_place("-o", output)
    found = registry(plugin, strict_plugins)
    from tokzoo.assembly.codes_file import CodesFile, Maker, decode_to_folder
    from tokzoo.assembly.tokenizer import Tokenizer

    read = CodesFile.load(codes)
    loaded = Tokenizer.load(where, found, _device(device))
    maker = Maker.of(loaded, where)
    if maker.weights != read.maker.weights:
        raise TokzooError(
            f"{codes} was made by another tokenizer ({read.maker}) than --tokenizer {tokenizer} ({maker})"
        )
    decode_to_folder(loaded, read, output, batch)
    typer.echo(f"{len(read.names)} images: {output}")


def find_tokenizer(text: str, out: Path) -> Path:
    """The folder of a saved tokenizer: named itself, or by a cell's folder or name, or by a record id or its start.

    Raises:
        TokzooError: none of these, or its tokenizer is not trained yet.
    """
    folder = Path(text)
    if folder.is_dir():
        return _of_cell(folder) if (folder / "cell.json").is_file() else folder
    cell = out / "cells" / text
    if (cell / "cell.json").is_file():
        return _of_cell(cell)
    from tokzoo.records.store import RecordStore

    records = [record for record in RecordStore(out / "records").read()[0] if text and record.id.startswith(text)]
    keys = {record.stages["tokenizer"] for record in records if "tokenizer" in record.stages}
    if len(keys) > 1:
        raise TokzooError(f"--tokenizer {text}: begins the ids of {', '.join(record.id for record in records)}")
    if keys:
        return _trained(out, keys.pop(), f"record {records[0].id}")
    cells = [path.parent.name for path in out.glob("cells/*/cell.json")]
    raise TokzooError(
        f"--tokenizer {text}: no folder, and neither a cell nor a record under {out}; {suggest(text, cells)}"
    )


def _of_cell(cell: Path) -> Path:
    from tokzoo.data.files import read_json

    try:
        key = read_json(cell / "cell.json")["stages"]["tokenizer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TokzooError(f"{cell / 'cell.json'}: not a cell's description") from error
    return _trained(cell.absolute().parent.parent, str(key), f"cell {cell.name}")


def _trained(out: Path, key: str, whose: str) -> Path:
    from tokzoo.bench.cache import DONE

    folder = out / "cache" / "tokenizer" / key
    if not (folder / DONE).is_file():
        raise TokzooError(f"{whose}: its tokenizer is not in {folder}; run it (again) with tokzoo run")
    return folder


def _device(wanted: str) -> str:
    if wanted not in ("auto", "cpu", "cuda"):
        raise TokzooError(f"--device {wanted}: unknown; {suggest(wanted, ('auto', 'cpu', 'cuda'))}")
    from tokzoo.bench.worker import choose_device

    return choose_device(wanted)


def check_place(option: str, path: Path) -> None:
    """Say before the work, not after it, that its result has nowhere to go."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise TokzooError(f"{option} {path}: cannot write in {above}")
