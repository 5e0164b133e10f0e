"""What every command shares: options, the registry with its complaints, and where output goes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.registry.plugins import Registry, load_registry

PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Load a plugin from a file, too. Repeatable."),
]
Strict = Annotated[bool, typer.Option("--strict-plugins", help="Stop at a plugin that cannot be loaded.")]
Out = Annotated[Path, typer.Option("--out", help="The folder runs are kept in.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def registry(files: list[Path] | None = None, strict: bool = False) -> Registry:
    """Every plugin's offers; each plugin that could not be loaded is named in one line on standard error."""
    found = load_registry(files or (), strict=strict)
    for plugin in found.broken:
        typer.echo(f"plugin {plugin.name} ({plugin.origin}) is left out: {plugin.error}", err=True)
    return found


def console() -> Any:
    """A rich console on standard output; where that is piped, lines as wide as they need to be."""
    from rich.console import Console

    shown = Console(highlight=False)
    return shown if shown.is_terminal else Console(highlight=False, width=200)


def print_json(value: Any) -> None:
    """Indented JSON on standard output."""
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
