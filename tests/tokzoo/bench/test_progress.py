"""What is shown while cells run: text of components moves no cursor, wherever it is shown."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from tokzoo.bench.progress import progress

CELLS = {"a": SimpleNamespace(recipe=SimpleNamespace(name="tiny"), seed=0)}


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize(("message", "shown"), [("\x1b[5Ared\nand more", r"\x1b[5Ared"), ("", "")])
def test_how_a_cell_failed(terminal, message, shown):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    with progress(console, CELLS) as observe:
        observe("a", {"kind": "failed", "stage": "ar", "message": message})
    assert "failed" in file.getvalue()
    assert shown in file.getvalue()
    assert "\x1b[5A" not in file.getvalue()
