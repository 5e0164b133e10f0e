"""``tokzoo import`` and ``tokzoo export``: checkpoints of other code bases."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.coding import check_folder, check_new_file
from tokzoo.cli.common import Out, PluginFiles, Strict, open_registry
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.text import counted
from tokzoo.registry.plugins import Registry

Family = Annotated[str, typer.Argument(metavar="FAMILY", help="The code base, such as gigatok.")]


def import_(
    family: Family,
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Such as a .pt, .ckpt or .safetensors file.")
    ],
    recipe: Annotated[str, typer.Option("--recipe", help="What the checkpoint is of, such as gigatok-s-s.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new folder, or an empty one.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes of that recipe.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="NAME", help="Where in the file: model, state_dict.ema … Default: the family's first."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Side of its images. Default: as released.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", min=1, help="Of an AR model. Default: as released.")
    ] = None,
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Read a released checkpoint, and write a tokenizer or an AR model that can be run.

    Every key and shape is verified, and no code in the file is run:

      tokzoo import gigatok VQ_SS256.pt --recipe gigatok-s-s -o ss/

      tokzoo import gigatok-gpt GPT_B256.pt ar.use=gpt ar.size=B --recipe ss/ -o gpt/

      tokzoo run ss/ ar.weights=gpt/ --track imagenet256-probe
    """
    registry = open_registry(plugin, strict_plugins)
    kind = _format(registry, family)
    check_folder("-o", output)
    from tokzoo.contracts.specs import ImageSpec
    from tokzoo.recipes.load import Changes, load_recipe

    said = Changes.parse(changes or ())
    if said.track:
        raise TokzooError("track.…: a checkpoint has no track; leave it out")
    resolved = load_recipe(recipe, registry, said.recipe)
    # torch is slow to import, and not needed to find mistakes above.
    from tokzoo.assembly.released import import_checkpoint

    image = None if image_size is None else ImageSpec(kind.image.channels, (image_size, image_size))
    done = import_checkpoint(checkpoint, kind, resolved, registry.components, output, image, weights, classes)
    part = f" of '{done.weights}'" if done.weights else ""
    what = f"{counted(done.tensors, 'tensor')}{part}, {done.parameters:,} numbers"
    typer.echo(f"{what}, every key and shape as it must be: {output}")
    if done.without:
        typer.echo(f"the file holds nothing of the regularizers {', '.join(done.without)}")
    if done.unread:
        typer.echo(f"not read: {', '.join(done.unread)}")


def export(
    family: Family,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Such as tokenizer.pt.")],
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="FOLDER|CELL|RECORD", help="As for tokzoo encode.")
    ] = None,
    ar: Annotated[
        str | None, typer.Option("--ar", metavar="FOLDER|CELL", help="A saved AR model, or a run's cell.")
    ] = None,
    out: Out = Path("runs"),
    plugin: PluginFiles = None,
    strict_plugins: Strict = False,
) -> None:
    """Write a tokenizer or an AR model as a checkpoint that the code base it came from can read.

    tokzoo export gigatok --tokenizer ss/ -o ss.pt

    tokzoo export gigatok-gpt --ar gpt/ -o gpt.pt
    """
    registry = open_registry(plugin, strict_plugins)
    kind = _format(registry, family)
    named = {"tokenizer": tokenizer, "ar": ar}
    chosen = named.pop(kind.holds)
    if chosen is None or any(named.values()):
        raise TokzooError(f"family '{family}' holds models of one kind: name one with --{kind.holds}, and nothing else")
    from tokzoo.records.finder import find_ar, find_tokenizer

    where = (find_ar if kind.holds == "ar" else find_tokenizer)(chosen, out)
    check_new_file("-o", output)
    from tokzoo.assembly.released import export_checkpoint

    done = export_checkpoint(where, kind, registry.components, output)
    typer.echo(f"{counted(done.tensors, 'tensor')}: {output}")
    if done.left_out:
        parts = sorted({".".join(name.split(".")[:2]) for name in done.left_out})
        typer.echo(f"not written, for such files have no place for it: {', '.join(parts)}")


def _format(registry: Registry, family: str) -> Any:
    if family not in registry.formats:
        raise TokzooError(f"family '{family}': unknown; {suggest(family, registry.formats)}")
    return registry.formats[family].load()
