"""Sketches are written as anybody outside would write them."""

import ast
from pathlib import Path

import pytest

SKETCHES = [
    path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.name.startswith(("test_", "conftest", "__"))
]


@pytest.mark.parametrize("path", SKETCHES, ids=lambda path: path.stem)
def test_a_sketch_imports_the_public_api_alone(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    ours = {name for name in imported if name.partition(".")[0].startswith(("tokzoo", "tests"))}
    assert {name for name in ours - {"tokzoo"} if not name.startswith(("tokzoo.nn.", "tokzoo.contracts."))} == set()
