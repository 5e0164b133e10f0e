"""What every command shares: options, the registry and what is wrong with it, and where output goes."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.contracts.text import json_text, line_width
from tokzoo.registry.plugins import Registry, load_registry

PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Also load a plugin from this file. Repeatable."),
]
Strict = Annotated[bool, typer.Option("--strict-plugins", help="Stop if a plugin cannot be loaded.")]
Out = Annotated[Path, typer.Option("--out", help="The folder that runs are kept in.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_registry(files: list[Path] | None = None, strict: bool = False, inspect: bool = False) -> Registry:
    """What all plugins offer; what is wrong with one is told in one line on standard error.

    Args:
        files: of further plugins.
        strict: stop at any plugin that cannot be loaded.
        inspect: plugins are what is looked at: one of ``files`` that cannot be loaded does not stop the command.

    Raises:
        TokzooError: one of ``files`` cannot be loaded: it was asked for by name.
    """
    registry = load_registry(files or (), strict=strict)
    if not inspect:
        registry.refuse_broken_files()
    for plugin in registry.broken:
        typer.echo(f"plugin {plugin.name} ({plugin.origin}) is left out: {plugin.error}", err=True)
    for plugin in registry.idle if not inspect else ():
        typer.echo(f"plugin {plugin.name} ({plugin.origin}) {plugin.nothing}", err=True)
    return registry


def console() -> Any:
    """A rich console on standard output; where that is piped, lines as long as they need to be, or as COLUMNS says."""
    from rich.console import Console

    return Console(highlight=False, width=line_width(sys.stdout))


def print_json(value: Any) -> None:
    """Indented JSON on standard output; what is no visible character is escaped."""
    typer.echo(json_text(value))
