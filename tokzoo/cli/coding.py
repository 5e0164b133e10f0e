"""``tokzoo encode`` and ``tokzoo decode``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tokzoo.cli.common import Out, PluginFiles, Strict, open_registry
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.text import counted
from tokzoo.data.files import kind_of, refuse_taken, shown, writing

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
    check_file("-o", output, "codes.safetensors")
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
    typer.echo(f"{counted(len(named), 'image')}, {loaded.chain.codes} each: {output}")


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
    check_folder("-o", output)
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
    typer.echo(f"{counted(len(read.names), 'image')}: {output}")


def check_file(option: str, path: Path, example: str) -> None:
    """Say before the work, not after it, that its result can be no such file.

    A name may do without a suffix; with another than that of ``example`` it would promise another format.

    Raises:
        TokzooError: it is a folder or a device, has another suffix, or cannot be written there.
    """
    suffix = Path(example).suffix
    _check_place(option, path)
    if path.is_dir():
        raise TokzooError(f"{option} {shown(path)}: this is a folder; name a file, such as {shown(path / example)}")
    if path.exists() and not path.is_file():
        kind = kind_of(path.stat().st_mode)
        raise TokzooError(f"{option} {shown(path)}: this is {kind}; name a file, such as {example}")
    if path.suffix not in ("", suffix):
        other = shown(path.with_suffix(suffix))
        raise TokzooError(f"{option} {shown(path)}: what is written is a {suffix} file; name it {other}")


def check_folder(option: str, path: Path) -> None:
    """Say before the work that its result cannot become that folder.

    Raises:
        TokzooError: there is something already, or it cannot be written there.
    """
    refuse_taken(path, f"{option} {path}")
    _check_place(option, path)


def check_new_file(option: str, path: Path) -> None:
    """Say before the work that its result cannot become that file.

    Raises:
        TokzooError: it is there already, or cannot be written there.
    """
    with writing(f"{option} {path}"):
        if path.exists():
            raise TokzooError(f"{option} {shown(path)}: is there already; name a new file")
    _check_place(option, path)


def _check_place(option: str, path: Path) -> None:
    with writing(f"{option} {path}"):
        path.exists()  # what can be no name, such as one that is too long, is told here
        above = next((folder for folder in path.absolute().parents if folder.exists()), path)
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise TokzooError(f"{option} {shown(path)}: cannot write in {shown(above)}")
