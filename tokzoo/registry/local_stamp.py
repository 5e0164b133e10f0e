"""The stamp of components that are classes and functions of a script or a notebook. No torch here.

- In a file: the module it stands in, and every module of the user's own that this one imports (``stamps``).
- In a notebook, which has no file, and where a function of the user made the component: the source of its functions,
  and every function, class and value they name. A value that cannot be pickled counts by its type alone.

What is installed does not count, and a file counts as it is now: a module that was changed has to be loaded again.
"""

import ast
import dis
import functools
import hashlib
import inspect
import io
import pickle
import sys
import textwrap
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.stamps import file_of, is_installed, own_stamp, tree_of, without_docstrings


def local_stamp(things: Iterable[Any], whose: str) -> str:
    """The stamp of classes and functions.

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
        """A class, a function or a module, and what it needs; nothing of what is installed."""
        module = thing if isinstance(thing, ModuleType) else sys.modules.get(thing.__module__)
        if id(thing) in self._seen:
            return
        self._seen[id(thing)] = thing  # held, so that no other thing gets its id
        path = file_of(module)
        in_file = path is not None and (thing is module or _defines(tree_of(path), thing.__name__))
        if module is not None and path is not None and in_file:
            self.texts.add(own_stamp({"": path}, module.__package__ or ""))
        # What a function that makes components gave this one stands in no text.
        if in_file and "<locals>" not in getattr(thing, "__qualname__", ""):
            return
        if isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, FunctionType):
            self._function(thing)

    def _class(self, thing: type) -> None:
        bases, fields = [base.__qualname__ for base in thing.__bases__], list(inspect.get_annotations(thing))
        self.texts.add(f"{thing.__qualname__}: {bases} {fields}")
        for base in thing.__bases__:
            self._value("a base", base)
        for name, value in vars(thing).items():
            functions = _functions(value)
            for function in functions:
                self._function(function)
            if not functions and not name.startswith(("__", "_abc")):
                self._value(f"{thing.__qualname__}.{name}", value)
        if issubclass(thing, BaseModel):
            schema = thing.model_json_schema()
            self.texts.add(f"{thing.__qualname__}: {schema.get('properties')} {schema.get('$defs')}")

    def _function(self, function: FunctionType) -> None:
        code, inner = function.__code__, inspect.unwrap(function)
        # What a dataclass makes follows from its fields.
        if is_installed(function.__module__) or inner.__code__.co_qualname.startswith("__create_fn__."):
            return
        self.texts.add(self._text(function))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                self._value(name, cell.cell_contents)
            except ValueError:  # nothing is in it yet
                continue
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
            return ast.unparse(without_docstrings(ast.parse(text)))
        except SyntaxError:  # a lambda's line may be part of a statement
            return text

    def _value(self, name: str, value: Any) -> None:
        """What a name stands for."""
        if isinstance(value, set | frozenset):
            value = sorted(value, key=repr)
        written = io.BytesIO()
        try:
            _Pickler(self, written).dump(value)
        except TokzooError:
            raise
        except Exception:  # whatever a library's objects raise
            self.texts.add(f"{name}: {type(value).__module__}.{type(value).__qualname__}")
        else:
            self.texts.add(f"{name} = {written.getvalue().hex()}")


class _Pickler(pickle.Pickler):
    """Writes values, and leaves code to whoever asked."""

    def __init__(self, code: _Code, file: io.BytesIO) -> None:
        super().__init__(file)
        self.code = code

    def reducer_override(self, value: Any) -> Any:
        """A name in the place of a class, a function or a module; numbers in the place of an array."""
        if isinstance(value, type | FunctionType | ModuleType):
            module = value.__name__ if isinstance(value, ModuleType) else value.__module__
            if module == "builtins":  # what pickle itself calls
                return NotImplemented
            if not is_installed(module):
                self.code.add(value)
            return str, (f"{module}.{getattr(value, '__qualname__', '')}",)
        return (list, (value.tolist(),)) if hasattr(type(value), "tolist") else NotImplemented


def _defines(tree: ast.Module, name: str) -> bool:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return any(isinstance(node, kinds) and node.name == name for node in ast.walk(tree))


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
