"""``tokzoo``: the command line."""

import io
import os
import sys

import typer

from tokzoo import __version__
from tokzoo.cli import checkpoints, coding, compat, inspecting, leaderboard, plugins, running, runs
from tokzoo.cli.common import print_json
from tokzoo.cli.extending import add_plugin_commands
from tokzoo.contracts.errors import TokzooError, describe, message
from tokzoo.contracts.guard import stop_on_signals
from tokzoo.contracts.text import printable

app = typer.Typer(
    name="tokzoo",
    help="The zoo of visual tokenizers, and the benchmark that judges them.",
    epilog="Start with:  tokzoo run quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("run", rich_help_panel="Experiment")(running.run)
app.command("explain", rich_help_panel="Experiment")(running.explain)
app.command("encode", rich_help_panel="Use")(coding.encode)
app.command("decode", rich_help_panel="Use")(coding.decode)
app.command("import", rich_help_panel="Use")(checkpoints.import_)
app.command("export", rich_help_panel="Use")(checkpoints.export)
app.command("list", rich_help_panel="Look around")(inspecting.list_components)
app.command("show", rich_help_panel="Look around")(inspecting.show)
app.command("compat", rich_help_panel="Look around")(compat.compat)
app.add_typer(plugins.app, name="plugins", rich_help_panel="Look around")
app.add_typer(leaderboard.app, name="leaderboard", rich_help_panel="Results")
app.add_typer(runs.app, name="runs", rich_help_panel="Results")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tokzoo {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


@app.command("env", rich_help_panel="Look around")
def env() -> None:
    """Print the versions that matter in a bug report."""
    from importlib import metadata
    from platform import platform, python_version

    import torch

    names = ("tokzoo", "torch", "torchvision", "timm", "open-clip-torch", "torch-fidelity", "pydantic", "pluggy")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    print_json({"python": python_version(), "platform": platform(), "accelerator": accelerator, **versions})


def main() -> None:
    """Run the command line. Exit codes: 0 ok, 1 some cell failed, 2 usage, 130 stopped."""
    stop_on_signals()
    if sys.stdout is None:  # it was closed by the caller
        _print_no_more()
    _escape_what_the_encoding_has_not()
    commands = typer.main.get_group(app)
    try:
        # One of our own commands loads plugins with its own options, and needs no look at theirs before.
        if not set(sys.argv[1:2]) & set(commands.commands):
            add_plugin_commands(commands)
        commands(prog_name="tokzoo")
    except TokzooError as error:
        typer.echo(f"error: {printable(message(error))}", err=True)
        sys.exit(2)
    except OSError as error:  # of output above all: a full disk, a closed pipe
        typer.echo(f"error: {describe(error)}", err=True)
        _print_no_more()  # what could not be written would be tried again at the end
        sys.exit(2)


def _print_no_more() -> None:
    """Send what is printed from here on nowhere."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it is open as long as the process is


def _escape_what_the_encoding_has_not() -> None:
    """Where output is not UTF-8, print what it cannot hold as its escape: better than no output."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
