"""Stamps: hashes of Python files. No torch here.

Comments, layout and docstrings do not count; nor does what only calls the code: the block under
``if __name__ == "__main__":``, and statements that are a call of ``tokzoo.run``.

Parsing takes a millisecond per file, so stamps, and what files import, are kept in the user's cache folder, by the
bytes of the files.
"""

import ast
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

RULE = b"tokzoo.stamp/2"
"""Another rule of what counts makes other stamps."""


def stamp(files: Mapping[str, Path]) -> str:
    """The SHA-256 of what counts of some Python files and of the names they are given here."""
    return _read(files)[0]


def package_stamp(modules: Iterable[str], follow: bool = False) -> str:
    """The stamp of the packages that modules stand in: the top-level ones, or those named if they are of tokzoo.

    With ``follow``, what they import of the user's own counts too, as in :func:`own_stamp`.
    """
    files: dict[str, Path] = {}
    for name in sorted({_package(module) for module in modules}):
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            files |= {f"{name}/{path.relative_to(folder).as_posix()}": path for path in _python_files(Path(folder))}
        if spec.submodule_search_locations is None and spec.origin is not None:
            files[name] = Path(spec.origin)
    files = {name: path for name, path in files.items() if path.suffix == ".py"}
    return own_stamp(files) if follow else stamp(files)


def own_stamp(files: Mapping[str, Path], package: str = "", also: Iterable[str] = ()) -> str:
    """The stamp of some files and of every module of the user's own that they import, at their top or later.

    Relative imports begin at ``package``; "": they stay among these files. Modules in ``also`` count as if imported.
    """
    stamps = {"": stamp(files)}
    seen = set(files.values())
    waiting = [*also, *_imported(files, package)]
    while waiting:
        name = waiting.pop()
        for module, path in _own_files(name):
            if path not in seen:
                seen.add(path)
                stamps[module] = stamp({module: path})
                inside = module if path.stem == "__init__" else module.rpartition(".")[0]
                waiting += _imported({module: path}, inside)
    return _hash((name, made.encode()) for name, made in sorted(stamps.items()))


def file_of(module: ModuleType | None) -> Path | None:
    """The Python file of a module, if it has one."""
    path = Path(getattr(module, "__file__", None) or "")
    return path if path.suffix == ".py" and path.is_file() else None


def is_installed(name: str) -> bool:
    """Whether a module is a library's, and not the user's own."""
    root = name.partition(".")[0]
    if root == "tokzoo" or root in sys.stdlib_module_names:
        return True
    spec = _spec(root)
    if spec is None:
        return False
    folders = [Path(place).parent for place in spec.submodule_search_locations or ()]
    if spec.has_location and spec.origin and not folders:
        folders = [Path(spec.origin).parent]
    # Of a module that is in no folder nothing could be read.
    return not folders or any(map(_is_installers, folders))


def _is_installers(folder: Path) -> bool:
    """Whether an installer writes into a folder."""
    return bool({"site-packages", "dist-packages"} & set(folder.parts)) or any(folder.glob("*.dist-info"))


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


def _read(files: Mapping[str, Path]) -> tuple[str, list[str]]:
    """The stamp of files, and what they import as it is written: with dots before a relative name."""
    contents = [(name, path.read_bytes()) for name, path in sorted(files.items())]
    kept = _cache() / _hash(contents)
    with suppress(OSError):
        made, *imports = kept.read_text(encoding="utf-8").splitlines()
        return made, imports
    parsed = [(name, *_what_counts(content)) for name, content in contents]
    made = _hash((name, text) for name, text, _ in parsed)
    imports = sorted({each for _, _, found in parsed for each in found})
    with suppress(OSError):  # a home that cannot be written to makes it slower, not wrong
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=kept.parent, delete=False) as file:
            file.write("\n".join([made, *imports]))
        Path(file.name).replace(kept)
    return made, imports


def _what_counts(content: bytes) -> tuple[bytes, set[str]]:
    """What counts of a file, and what it imports."""
    try:
        tree = without_docstrings(ast.parse(content))
    except (SyntaxError, ValueError):  # a file that cannot be imported
        return content, set()
    tree.body = [inner for statement in tree.body for inner in _without_calls(statement)]
    return ast.unparse(tree).encode(), set(_imports(tree))


def _without_calls(statement: ast.stmt) -> list[ast.stmt]:
    """What of a statement at the top of a file is not there only to call the rest."""
    if isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'":
        return statement.orelse
    value = getattr(statement, "value", None)
    call = value.args[0] if isinstance(value, ast.Call) and ast.unparse(value.func) == "print" and value.args else value
    is_run = isinstance(call, ast.Call) and ast.unparse(call.func) == "tokzoo.run"
    return [] if is_run else [statement]


def _imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports, wherever in it; what follows ``from`` may be a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            inside = base if base.endswith(".") else f"{base}."
            yield from (base, *(f"{inside}{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            named = [each.value for each in node.args[:1] if isinstance(each, ast.Constant)]
            yield from (name for name in named if isinstance(name, str) and name)


def _imported(files: Mapping[str, Path], package: str) -> Iterator[str]:
    """The absolute names of what files import; relative ones only where it is known what they begin at."""
    for name in _read(files)[1]:
        if package or not name.startswith("."):
            with suppress(ImportError):  # above the package
                yield importlib.util.resolve_name(name, package or None)


def _own_files(name: str) -> Iterator[tuple[str, Path]]:
    """What is run when a module is imported: its file and those of the packages it is in, if they are the user's own.

    Nothing is imported to find them.
    """
    if is_installed(name):
        return
    parts = name.split(".")
    spec = _spec(parts[0])
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if end > 1:
            inside = spec.submodule_search_locations if spec is not None else None
            spec = importlib.machinery.PathFinder.find_spec(module, inside) if inside else None
        if spec is None:
            return
        if spec.has_location and spec.origin and Path(spec.origin).suffix == ".py":
            yield module, Path(spec.origin)


def _spec(root: str) -> importlib.machinery.ModuleSpec | None:
    """Of a top-level module, found without importing it."""
    with suppress(ImportError, ValueError):  # a name that is none; a module such as __main__, that has no spec
        return importlib.util.find_spec(root)
    return None
