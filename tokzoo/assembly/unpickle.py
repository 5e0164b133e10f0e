"""Pickles that torch wrote, read without importing or calling anything they name.

A pickle is a program that may call any function there is. Here it finds a few functions of this file, which note where
a tensor is stored, and for every other name a class whose instances do nothing: so configs, callbacks and optimizers of
a training framework are passed over, whether they are installed or hostile.
"""

import pickle
from collections.abc import Callable, Iterable
from typing import IO, Any, ClassVar

import torch


class Inert:
    """Stands for an object of the file that is no tensor. Whatever is done to it does nothing."""

    origin = "an object"

    def __new__(cls, *arguments: Any, **named: Any) -> "Inert":
        """One, whatever it is made of."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def _nothing(self, *arguments: Any) -> None:
        pass

    def __repr__(self) -> str:
        return self.origin

    __call__ = __setstate__ = __setitem__ = append = extend = add = _nothing


class Sealed:
    """What the file may use and not change."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Raise: pickle sets attributes through this."""
        raise pickle.UnpicklingError("it changes what it is read with")


PLAIN = (str, bytes, int, float, bool, type(None), type, Inert)


class Table(dict[Any, Any]):
    """A dictionary; attributes that were pickled with it, such as ``_metadata`` of a state dictionary, are left out.

    Raises:
        UnpicklingError: a key is neither plain nor a tuple of what is: the hash of a few bytes can take years.
    """

    def __init__(self, pairs: Iterable[Any] = ()) -> None:
        super().__init__()
        for key, value in pairs:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        for each in key if type(key) is tuple else (key,):
            if not isinstance(each, PLAIN):
                raise pickle.UnpicklingError(f"a key in it is a {type(key).__name__} of {type(each).__name__}")
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None:
        """Pass over attributes."""


class Storage(Sealed):
    """Numbers of one type in a file, by the key of their record."""

    __slots__ = ("dtype", "key", "numbers")

    def __init__(self, key: str, dtype: torch.dtype, numbers: int) -> None:
        self.key, self.dtype, self.numbers = key, dtype, numbers


class Strided(Sealed):
    """A tensor: a part of a storage.

    Raises:
        UnpicklingError: it reaches out of its storage.
    """

    __slots__ = ("dtype", "offset", "shape", "storage", "stride")

    def __init__(self, storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype | None = None) -> None:
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError("a tensor in it has no storage")
        numbers = (offset, *shape, *stride)
        if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or len(shape) != len(stride):
            raise pickle.UnpicklingError("a tensor in it has an offset, a shape or strides that are no counts")
        self.dtype = dtype or storage.dtype
        there = storage.numbers * storage.dtype.itemsize // self.dtype.itemsize
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if 0 not in shape and last >= there:
            raise pickle.UnpicklingError(f"a tensor in it reaches out of its storage (to {last} of {there} numbers)")
        self.storage, self.offset, self.shape, self.stride = storage, offset, tuple(shape), tuple(stride)


class Function(Sealed):
    """A function that a file may call."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return self.function(*arguments)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *others: Any) -> Strided:
    """``others``: whether it requires a gradient, hooks, and what it is lazily, such as negated."""
    if len(others) > 2 and others[2]:
        raise pickle.UnpicklingError("a tensor in it is stored conjugated or negated")
    return Strided(storage, offset, shape, stride)


def _typed_tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Strided:
    if not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError("a tensor in it is of an unknown type")
    _tensor(storage, 0, (), (), gradient, hooks, metadata)
    return Strided(storage, offset, shape, stride, dtype)


def _of_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor of a subclass, as a plain one."""
    return function(*arguments) if isinstance(function, Function) else Inert()


def _globals() -> dict[tuple[str, str], Any]:
    storages = {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexDouble": torch.complex128,
        "ComplexFloat": torch.complex64,
        "Untyped": torch.uint8,
    }
    modules = ("torch", "torch.cuda", "torch.storage")
    dtypes = {("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    return {
        ("collections", "OrderedDict"): Table,
        ("torch._utils", "_rebuild_tensor"): Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Function(_typed_tensor),
        ("torch._utils", "_rebuild_parameter"): Function(lambda data, *others: data),
        ("torch._utils", "_rebuild_parameter_with_state"): Function(lambda data, *others: data),
        ("torch._tensor", "_rebuild_from_type_v2"): Function(_of_type),
        **{(module, f"{name}Storage"): dtype for module in modules for name, dtype in storages.items()},
        **dtypes,
    }


GLOBALS = _globals()


def _empty_table(unpickler: Any) -> None:
    unpickler.append(Table())


def _table(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.append(Table(zip(items[::2], items[1::2], strict=True)))


def _set(unpickler: Any) -> None:
    unpickler.append(Inert())


def _frozen_set(unpickler: Any) -> None:
    unpickler.pop_mark()
    unpickler.append(Inert())


def _bytearray(unpickler: Any) -> None:
    raise pickle.UnpicklingError("it holds a bytearray")


class Unpickler(pickle._Unpickler):
    """Reads one pickle of a torch file: mappings, plain values, :class:`Strided`, and :class:`Inert` for the rest.

    The one written in Python, where what a dictionary is made of can be said: the other builds the interpreter's own,
    which hash whatever key the file gives them, and takes memory for every place up to the highest one noted.
    """

    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        pickle.EMPTY_DICT[0]: _empty_table,
        pickle.DICT[0]: _table,
        pickle.EMPTY_SET[0]: _set,
        pickle.FROZENSET[0]: _frozen_set,
        pickle.BYTEARRAY8[0]: _bytearray,
    }

    def __init__(self, file: IO[bytes]) -> None:
        # Text of Python 2 is bytes in any encoding; what matters here is ASCII.
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What the file means by a name. Nothing is imported."""
        known = GLOBALS.get((module, name))
        return known or type("Inert", (Inert,), {"origin": f"{module}.{name}"})

    def persistent_load(self, key: Any) -> Any:
        """A storage, by ``("storage", type, key, device, numbers)``; of a ``("module", class, …)`` the class."""
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module":
            return key[1]
        if isinstance(key, tuple) and len(key) in (5, 6) and key[0] == "storage":
            _, dtype, name, _, numbers, *view = key
            if (
                isinstance(dtype, torch.dtype)
                and type(name) is str
                and type(numbers) is int
                and numbers >= 0
                and not any(view)
            ):
                return self.storages.setdefault(name, Storage(name, dtype, numbers))
        raise pickle.UnpicklingError("its storages are of another kind than torch writes")


def unpickle(file: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """The next pickle of a file, and the storages it names.

    Raises:
        UnpicklingError: it is damaged, or does what no checkpoint needs.
    """
    try:
        unpickler = Unpickler(file)
        return unpickler.load(), unpickler.storages
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
