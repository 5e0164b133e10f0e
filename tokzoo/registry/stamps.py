"""Stamps: hashes of Python files. No torch here.

Comments, layout and docstrings do not count; nor does what only calls the code: the block under
``if __name__ == "__main__":``, and statements that are a call of ``tokzoo.run``.

Parsing takes a millisecond per file, so stamps are kept in the user's cache folder, by the bytes of the files.
"""

import ast
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

RULE = b"tokzoo.stamp/1"
"""Another rule of what counts makes other stamps."""


def stamp(files: Mapping[str, Path]) -> str:
    """The SHA-256 of what counts of some Python files and of the names they are given here."""
    contents = [(name, path.read_bytes()) for name, path in sorted(files.items())]
    kept = _cache() / _hash(contents)
    with suppress(OSError):
        return kept.read_text(encoding="ascii")
    made = _hash([(name, _what_counts(content)) for name, content in contents])
    with suppress(OSError):  # a home that cannot be written to makes it slower, not wrong
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=kept.parent, delete=False) as file:
            file.write(made)
        Path(file.name).replace(kept)
    return made


def package_stamp(modules: Iterable[str]) -> str:
    """The stamp of the packages that modules stand in: the top-level ones, or those named if they are of tokzoo."""
    files: dict[str, Path] = {}
    for name in sorted({_package(module) for module in modules}):
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            files |= {f"{name}/{path.relative_to(folder).as_posix()}": path for path in _python_files(Path(folder))}
        if spec.submodule_search_locations is None and spec.origin is not None:
            files[name] = Path(spec.origin)
    return stamp({name: path for name, path in files.items() if path.suffix == ".py"})


def own_files(module: ModuleType, name: str = "") -> dict[str, Path]:
    """A module's file under ``name``, and by their names those of every module of the user's own that it imports."""
    files: dict[str, Path] = {}
    waiting = [(name, module)]
    while waiting:
        name, module = waiting.pop()
        path = file_of(module)
        if path is None or path in files.values():
            continue
        files[name] = path
        imported = _imported(tree_of(path), module.__package__ or "")
        waiting += [(each, sys.modules[each]) for each in imported if each in sys.modules and not is_installed(each)]
    return files


def file_of(module: ModuleType | None) -> Path | None:
    """The Python file of a module, if it has one."""
    path = Path(getattr(module, "__file__", None) or "")
    return path if path.suffix == ".py" and path.is_file() else None


def is_installed(name: str) -> bool:
    """Whether a module is a library's, and not the user's own."""
    root = name.partition(".")[0]
    if root == "tokzoo" or root in sys.stdlib_module_names:
        return True
    if root == "__main__" or name not in sys.modules:
        return False
    file = getattr(sys.modules[name], "__file__", None)
    return file is None or bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def tree_of(path: Path) -> ast.Module:
    """A Python file as it is written."""
    return ast.parse(path.read_bytes())


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same tree, in place, without statements that are only a constant."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            held = getattr(node, name, None)
            if held:
                kept = [each for each in held if not _is_constant(each)]
                setattr(node, name, kept or ([] if node is tree else [ast.Pass()]))
                nodes += kept
    return tree


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _hash(contents: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256(RULE)
    for name, content in contents:
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokzoo" / "stamps"


def _package(module: str) -> str:
    """The package whose files belong together."""
    top, _, rest = module.partition(".")
    return f"tokzoo.{rest.partition('.')[0]}" if top == "tokzoo" and rest else top


def _python_files(folder: Path) -> Iterator[Path]:
    """The files below a folder that can be imported."""
    for path in folder.iterdir():
        if path.is_dir() and path.name.isidentifier():
            yield from _python_files(path)
        elif path.suffix == ".py":
            yield path


def _what_counts(content: bytes) -> bytes:
    try:
        tree = without_docstrings(ast.parse(content))
    except (SyntaxError, ValueError):  # a file that cannot be imported
        return content
    tree.body = [inner for statement in tree.body for inner in _without_calls(statement)]
    return ast.unparse(tree).encode()


def _without_calls(statement: ast.stmt) -> list[ast.stmt]:
    """What of a statement at the top of a file is not there only to call the rest."""
    if isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'":
        return statement.orelse
    value = getattr(statement, "value", None)
    call = value.args[0] if isinstance(value, ast.Call) and ast.unparse(value.func) == "print" and value.args else value
    is_run = isinstance(call, ast.Call) and ast.unparse(call.func) == "tokzoo.run"
    return [] if is_run else [statement]


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules a module imports when it is loaded."""
    inside = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in (node for top in tree.body if not isinstance(top, inside) for node in ast.walk(top)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*filter(None, above), *([node.module] if node.module else [])])
            yield from (name, *(f"{name}.{alias.name}" for alias in node.names))
