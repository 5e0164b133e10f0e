"""``tokzoo import`` and ``tokzoo export``: checkpoints of other code bases."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.coding import TokenizerName, check_place
from tokzoo.cli.common import Out, PluginFiles, Strict, open_registry
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry.plugins import Registry

Family = Annotated[str, typer.Argument(metavar="FAMILY", help="The code base, such as gigatok.")]


def import_(
    family: Family,
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Such as a .pt, .ckpt or .safetensors file.")
    ],
    recipe: Annotated[str, typer.Option("--recipe", help="What the checkpoint is of, such as gigatok-s-s.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new folder, or an empty one.")],
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="NAME", help="Such as model. Default: ema if it is there."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Side of its images. Default: as released.")
    ] = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Read a released checkpoint, and write a tokenizer that can be run, encoded and decoded with.

    Every key and shape is verified, and no code in the file is run:

      tokzoo import gigatok VQ_SS256.pt --recipe gigatok-s-s -o ss/

      tokzoo run ss/ --track imagenet256-probe
    """
    registry = open_registry(plugin, strict_plugins)
    kind = _format(registry, family)
    check_place("-o", output)
    from tokzoo.contracts.specs import ImageSpec
    from tokzoo.recipes.load import load_recipe

    resolved = load_recipe(recipe, registry)
    # torch is slow to import, and not needed to find mistakes above.
    from tokzoo.assembly.released import import_checkpoint

    image = None if image_size is None else ImageSpec(kind.image.channels, (image_size, image_size))
    done = import_checkpoint(checkpoint, kind, resolved, registry.components, output, image, weights)
    part = f" of '{done.weights}'" if done.weights else ""
    typer.echo(
        f"{done.tensors} tensors{part}, {done.parameters:,} numbers, every key and shape as it must be: {output}"
    )
    if done.without:
        typer.echo(f"the file holds nothing of the regularizers {', '.join(done.without)}")
    if done.unread:
        typer.echo(f"not read: {', '.join(done.unread)}")


def export(
    family: Family,
    tokenizer: TokenizerName,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Such as tokenizer.pt.")],
    out: Out = Path("runs"),
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Write a tokenizer as a checkpoint that the code base it came from can read.

    tokzoo export gigatok --tokenizer ss/ -o ss.pt
    """
    registry = open_registry(plugin, strict_plugins)
    kind = _format(registry, family)
    from tokzoo.records.finder import find_tokenizer

    where = find_tokenizer(tokenizer, out)
    if output.exists():
        raise TokzooError(f"-o {output}: is there already; name a new file")
    check_place("-o", output)
    from tokzoo.assembly.released import export_checkpoint

    done = export_checkpoint(where, kind, registry.components, output)
    typer.echo(f"{done.tensors} tensors: {output}")
    if done.left_out:
        parts = sorted({".".join(name.split(".")[:2]) for name in done.left_out})
        typer.echo(f"not written, for such files have no place for it: {', '.join(parts)}")


def _format(registry: Registry, family: str) -> Any:
    if family not in registry.formats:
        raise TokzooError(f"family '{family}': unknown; {suggest(family, registry.formats)}")
    return registry.formats[family].load()
