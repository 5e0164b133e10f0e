"""``tokzoo encode`` and ``tokzoo decode``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tokzoo.cli.common import Out, PluginFiles, Strict, open_registry
from tokzoo.contracts.errors import TokzooError

TokenizerName = Annotated[
    str,
    typer.Option(
        "--tokenizer", metavar="FOLDER|CELL|RECIPE|RECORD", help="A saved tokenizer, or its name in what was run."
    ),
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
    from tokzoo.bench.plan import check_device
    from tokzoo.records.finder import find_tokenizer

    check_device(device)
    where = find_tokenizer(tokenizer, out)
    if output.is_dir():
        raise TokzooError(f"-o {output}: this is a folder; name a file, such as {output / 'codes.safetensors'}")
    check_place("-o", output)
    from tokzoo.data.pictures import name_pictures

    named = name_pictures(images)
    registry = open_registry(plugin, strict_plugins)
    # torch is slow to import, and not needed to find mistakes above.
    from tokzoo.assembly.codes_file import CodesFile, Maker, encode_pictures
    from tokzoo.assembly.devices import choose_device
    from tokzoo.assembly.tokenizer import Tokenizer

    loaded = Tokenizer.load(where, registry, choose_device(device))
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
    from tokzoo.bench.plan import check_device
    from tokzoo.records.finder import find_tokenizer

    check_device(device)
    where = find_tokenizer(tokenizer, out)
    check_place("-o", output)
    registry = open_registry(plugin, strict_plugins)
    from tokzoo.assembly.codes_file import CodesFile, Maker, decode_to_folder
    from tokzoo.assembly.devices import choose_device
    from tokzoo.assembly.tokenizer import Tokenizer

    read = CodesFile.load(codes)
    loaded = Tokenizer.load(where, registry, choose_device(device))
    maker = Maker.of(loaded, where)
    if maker.weights != read.maker.weights:
        raise TokzooError(
            f"{codes} was made by another tokenizer ({read.maker}) than --tokenizer {tokenizer} ({maker})"
        )
    decode_to_folder(loaded, read, output, batch)
    typer.echo(f"{len(read.names)} images: {output}")


def check_place(option: str, path: Path) -> None:
    """Say before the work, not after it, that its result has nowhere to go."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise TokzooError(f"{option} {path}: cannot write in {above}")
