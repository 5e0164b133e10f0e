"""The hash of the code a component of a script or a notebook consists of. No torch here.

What a component does is decided by the code it is written in, so its results are made anew when that changes:

- In a file: the module it stands in, and every module of the user's own that this one imports. Comments, layout and
  docstrings do not count; nor does what only calls the code: the block under ``if __name__ == "__main__":``, and
  statements that are a call of ``tokzoo.run``.
- In a notebook, which has no file: the source of its functions, and of every function, class and value they name.
  A value of a library's type counts by its type alone, unless it is an array.

What is installed (the standard library, site-packages, tokzoo) does not count. A file counts as it is now: who changes
a module has to load it again.
"""

import ast
import dis
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pydantic import BaseModel

from tokzoo.contracts.errors import TokzooError

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))


def source_hash(things: Iterable[Any], whose: str) -> str:
    """The SHA-256 of the code of classes and functions.

    Args:
        things: what a component was written as: a class and its config, or a function.
        whose: the component, for messages.

    Raises:
        TokzooError: the code of one cannot be read.
    """
    code = _Code(whose)
    for thing in things:
        code.add(thing)
    return hashlib.sha256("\0".join(sorted(code.texts)).encode()).hexdigest()


class _Code:
    """The texts that decide what classes and functions do."""

    def __init__(self, whose: str) -> None:
        self.whose = whose
        self.texts: set[str] = set()
        self._seen: dict[int, Any] = {}

    def add(self, thing: Any) -> None:
        """A class or a function, and what it needs."""
        if self._is_known(thing):
            return
        module = sys.modules.get(thing.__module__)
        tree = _tree(module)
        in_file = tree is not None and _defines(tree, thing.__name__)
        if module is not None and in_file:
            self._module(module)
        if isinstance(thing, type):
            self._class(thing, in_file)
        else:
            self._function(thing, in_file)

    def _is_known(self, thing: Any) -> bool:
        known = id(thing) in self._seen
        self._seen[id(thing)] = thing  # held, so that no other thing gets its id
        return known

    def _module(self, module: ModuleType) -> None:
        tree = None if self._is_known(module) else _tree(module)
        if tree is None:
            return
        self.texts.add(ast.unparse(tree))
        for name in _imported(tree, module.__package__ or ""):
            if name in sys.modules and not _is_installed(name):
                self._module(sys.modules[name])

    def _class(self, thing: type, in_file: bool) -> None:
        bases, fields = [base.__qualname__ for base in thing.__bases__], list(inspect.get_annotations(thing))
        self.texts.add(f"{thing.__qualname__}: {bases} {fields}")
        for base in thing.__bases__:
            if not _is_installed(base.__module__):
                self.add(base)
        for name, value in vars(thing).items():
            for function in _functions(value):
                self._function(function, in_file)
            if not (in_file or name.startswith(("__", "_abc")) or any(_functions(value))):
                self._value(f"{thing.__qualname__}.{name}", value)
        if issubclass(thing, BaseModel) and not in_file:
            schema = thing.model_json_schema()
            self.texts.add(f"{thing.__qualname__}: {schema.get('properties')} {schema.get('$defs')}")

    def _function(self, function: FunctionType, in_file: bool) -> None:
        code, inner = function.__code__, inspect.unwrap(function)
        # What a dataclass makes follows from its fields.
        if _is_installed(function.__module__) or inner.__code__.co_qualname.startswith("__create_fn__."):
            return
        # What a function that makes functions gave this one stands in no text.
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                self._value(name, cell.cell_contents)
            except ValueError:  # nothing is in it yet
                continue
        if in_file:
            return
        self.texts.add(self._text(function))
        for name in _global_names(code):
            if name in function.__globals__:
                self._value(name, function.__globals__[name])

    def _text(self, function: FunctionType) -> str:
        try:
            text = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            raise TokzooError(
                f"{self.whose}: the source of {function.__qualname__} cannot be read, so nothing could tell when it "
                "changes; put it into a file or a notebook"
            ) from error
        try:
            return ast.unparse(_without_docstrings(ast.parse(text)))
        except SyntaxError:  # a lambda's line may be part of a statement
            return text

    def _value(self, name: str, value: Any) -> None:
        """What a name stands for."""
        if isinstance(value, PLAIN):
            self.texts.add(f"{name} = {value!r}")
        elif isinstance(value, type | FunctionType | ModuleType):
            module = value.__name__ if isinstance(value, ModuleType) else value.__module__
            self.texts.add(f"{name} is {module}.{getattr(value, '__qualname__', '')}")
            if isinstance(value, ModuleType) and not _is_installed(module):
                self._module(value)
            elif not _is_installed(module):
                self.add(value)
        elif not self._is_known(value):
            self._object(name, value)

    def _object(self, name: str, value: Any) -> None:
        kind = type(value)
        self.texts.add(f"{name}: {kind.__module__}.{kind.__qualname__}")
        parts: Mapping[Any, Any] = {}
        if isinstance(value, MethodType):
            parts = {"of": value.__self__, "function": value.__func__}
        elif isinstance(value, functools.partial):
            parts = {"function": value.func, "args": value.args, **value.keywords}
        elif isinstance(value, set | frozenset):
            parts = dict(enumerate(sorted(value, key=repr)))
        elif isinstance(value, Mapping):
            parts = value
        elif isinstance(value, list | tuple):
            parts = dict(enumerate(value))
        elif hasattr(kind, "tolist"):
            self.texts.add(f"{name} = {value.tolist()!r}")
        elif not _is_installed(kind.__module__):
            self.add(kind)
            parts = getattr(value, "__dict__", {})
        for key, part in parts.items():
            self._value(f"{name}[{key!r}]", part)


def _tree(module: ModuleType | None) -> ast.Module | None:
    """What counts of a module's file; None where it has none."""
    path = Path(getattr(module, "__file__", None) or "")
    if path.suffix != ".py" or not path.is_file():
        return None
    tree = _without_docstrings(ast.parse(path.read_bytes()))
    tree.body = [inner for statement in tree.body for inner in _what_counts(statement)]
    return tree


def _what_counts(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'":
        return statement.orelse
    value = getattr(statement, "value", None)
    call = value.args[0] if isinstance(value, ast.Call) and ast.unparse(value.func) == "print" and value.args else value
    is_run = isinstance(call, ast.Call) and ast.unparse(call.func) == "tokzoo.run"
    return [] if is_run else [statement]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body[:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]
    return tree


def _defines(tree: ast.Module, name: str) -> bool:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return any(isinstance(node, kinds) and node.name == name for node in ast.walk(tree))


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


def _is_installed(name: str) -> bool:
    """Whether a module is a library's, and not the user's own."""
    root = name.partition(".")[0]
    if root == "__main__":
        return False
    if root == "tokzoo" or root.startswith("tokzoo_") or root in sys.stdlib_module_names:
        return True
    if name not in sys.modules:
        return False
    file = getattr(sys.modules[name], "__file__", None)
    return file is None or bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _functions(value: Any) -> list[FunctionType]:
    """The functions an attribute of a class consists of."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, functools.cached_property):
        value = value.func
    found = (value.fget, value.fset) if isinstance(value, property) else (value,)
    return [function for function in found if isinstance(function, FunctionType)]


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)
