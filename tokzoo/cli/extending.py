"""Commands that plugins add: each plugin separately, and none in place of another command."""

import sys
from typing import Any

import typer

from tokzoo.cli.common import open_registry
from tokzoo.contracts.errors import describe
from tokzoo.registry.plugins import Plugin

PANEL = "From plugins"


def add_plugin_commands(commands: Any) -> None:
    """Add the commands of every installed plugin to a click group.

    A name that is taken stays with its first owner. That, and a plugin whose commands cannot be made, is reported on
    standard error.
    """
    registry = open_registry()
    owners: dict[str, str] = dict.fromkeys(commands.commands, "tokzoo")
    for plugin in registry.plugins:
        app = typer.Typer()
        registry.notify_one(plugin, "tokzoo_commands", app=app)
        for name, command in _made(plugin, app).items():
            if name in owners:
                _tell(plugin, f"its command '{name}' is left out: {owners[name]} has one of that name")
                continue
            owners[name] = f"plugin {plugin.name}"
            command.rich_help_panel = PANEL
            commands.add_command(command, name)


def _made(plugin: Plugin, app: typer.Typer) -> dict[str, Any]:
    if not app.registered_commands and not app.registered_groups:
        return {}
    try:
        return dict(typer.main.get_group(app).commands)
    # Typer reads the signatures now: a parameter it has no type for is the plugin's mistake, and harms nobody else.
    except Exception as error:
        _tell(plugin, f"its commands are left out: {describe(error)}")
        return {}


def _tell(plugin: Plugin, what: str) -> None:
    sys.stderr.write(f"plugin {plugin.name}: {what}\n")
