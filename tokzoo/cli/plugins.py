"""``tokzoo plugins``."""

import typer

from tokzoo.cli.common import AsJson, PluginFiles, Strict, console, print_json, registry

app = typer.Typer(help="See which plugins are installed.", no_args_is_help=True)


@app.command("list")
def list_plugins(plugin: PluginFiles = None, strict_plugins: Strict = False, json: AsJson = False) -> None:
    """List plugins: where each comes from, what it offers, and what is wrong with it."""
    found = registry(plugin, strict_plugins)
    offers: dict[str, list[str]] = {}
    for entry in found.components:
        offers.setdefault(entry.plugin, []).append(f"{entry.spec.kind}/{entry.spec.name}")
    if json:
        print_json(
            [
                {
                    "name": p.name,
                    "origin": p.origin,
                    "version": p.version,
                    "offers": offers.get(p.name, []),
                    "error": p.error,
                    "notes": p.notes,
                }
                for p in found.plugins
            ]
        )
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("plugin", "from", "version", "offers")
    for p in found.plugins:
        offered = Text(f"error: {p.error}", style="red") if p.error else Text(", ".join(offers.get(p.name, [])))
        for note in p.notes:
            offered.append(f"\nnote: {note}", style="yellow")
        table.add_row(Text(p.name), Text(p.origin), p.version, offered)
    console().print(table)
