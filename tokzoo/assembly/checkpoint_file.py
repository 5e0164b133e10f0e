"""A checkpoint file of any code base: tensors by dotted names, each read when it is asked for. Nothing in it is run."""

import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tokzoo.assembly.unpickle import Inert, Strided, unpickle
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import open_file, reading, shown

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module")
"""What DDP, torch.compile and FSDP put into names, anywhere between the dots."""
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""How the files of torch before 1.6 begin."""
DEEPEST, MOST, LONGEST = 16, 1_000_000, 500
"""How deep mappings may be nested, how many entries a file may have, and how many characters their dotted names.

A few bytes can say billions.
"""

DAMAGED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    SafetensorError,
)
"""What reading a damaged or hostile file may raise."""

Records = Mapping[str, tuple[int, int]]
"""Where each storage begins in the file, and how many bytes it has."""
Leaf = Callable[[Any], Any]
"""Makes a tensor as its file notes it a :class:`StoredTensor`; other values stay what they are."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a file; ``read`` maps it."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """The content of a file.

    Attributes:
        leaves: by dotted name, :class:`StoredTensor` for what is a tensor.
        bare: whether the file is nothing but tensors by name.
    """

    path: Path
    leaves: Mapping[str, Any]
    bare: bool

    @classmethod
    def open(cls, path: Path) -> "CheckpointFile":
        """The file's names; its tensors are read later.

        Raises:
            TokzooError: it is not there, not a checkpoint, damaged, or refused.
        """
        with reading(path, "a checkpoint", *DAMAGED):
            leaves: dict[str, Any] = {}
            try:
                content, leaf = _content(path)
                _flatten(content, (), leaf, leaves)
            except pickle.UnpicklingError as error:
                raise TokzooError(f"{shown(path)}: refused: {' '.join(str(error).split())[:200]}") from None
        bare = bool(content) and not any(isinstance(value, Mapping) for value in content.values())
        return cls(path, leaves, bare and all(isinstance(value, StoredTensor) for value in leaves.values()))

    @property
    def parts(self) -> tuple[str, ...]:
        """The first names of everything in the file."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.leaves))

    def section(self, place: str) -> dict[str, Any]:
        """What is at a dotted path, ``""`` for the whole file, without the names that wrappers put before theirs.

        Raises:
            TokzooError: two names are one without the wrappers.
        """
        prefix = f"{place}." if place else ""
        found: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name, leaf in self.leaves.items():
            if not name.startswith(prefix):
                continue
            key = ".".join(part for part in name.removeprefix(prefix).split(".") if part not in WRAPPERS)
            if key in found:
                raise TokzooError(f"{self.path}: ambiguous: '{names[key]}' and '{name}' both are {key}")
            found[key], names[key] = leaf, name
        return found

    def others(self, places: Iterable[str]) -> tuple[str, ...]:
        """The parts of the file that are in none of the places, each by its shortest name."""
        read = {tuple(place.split(".")) if place else () for place in places}
        above = {place[:length] for place in read for length in range(len(place))}
        found: dict[str, None] = {}
        for leaf in self.leaves:
            parts = tuple(leaf.split("."))
            length = next((n for n in range(1, len(parts) + 1) if parts[:n] not in above), len(parts))
            if not any(parts[: len(place)] == place for place in read):
                found[".".join(parts[:length])] = None
        return tuple(found)


def describe_leaf(leaf: Any) -> str:
    """What a leaf is, for a message."""
    if isinstance(leaf, StoredTensor):
        return "tensor"
    return leaf.origin if isinstance(leaf, Inert) else type(leaf).__name__


def _flatten(value: Any, name: tuple[str, ...], leaf: Leaf, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and (value or not name):
        if len(name) == DEEPEST:
            raise pickle.UnpicklingError(f"its mappings are nested more than {DEEPEST} deep")
        for key, inner in value.items():
            _flatten(inner, (*name, str(key)), leaf, into)
        return
    if sum(map(len, name)) + len(name) > LONGEST:
        raise pickle.UnpicklingError(f"a name in it has more than {LONGEST} characters: {name[0][:20]}…")
    dotted = ".".join(name)
    if dotted in into:
        raise pickle.UnpicklingError(f"ambiguous: two entries are named {dotted}")
    if len(into) == MOST:
        raise pickle.UnpicklingError(f"it has more than {MOST:,} entries")
    into[dotted] = leaf(value)


def _content(path: Path) -> tuple[Mapping[Any, Any], Leaf]:
    # safetensors would wait for somebody to write into a pipe.
    with open_file(path) as file:
        content, leaf = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(file)
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {describe_leaf(leaf(content))}")
    return content, leaf


def _safetensors(path: Path) -> tuple[Any, Leaf]:
    file: Any = safe_open(path, "pt")
    names = file.keys()
    content = {
        name: StoredTensor(tuple(file.get_slice(name).get_shape()), partial(file.get_tensor, name)) for name in names
    }
    return content, lambda value: value


def _torch_file(file: IO[bytes]) -> tuple[Any, Leaf]:
    """The content of a file that ``torch.save`` wrote."""
    if not file.seek(0, SEEK_END):
        raise ValueError("it is empty")
    # A private copy: pages are read when they are used, and torch wants memory it could write to.
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    zipped = zipfile.is_zipfile(file)
    file.seek(0)
    content, records = _zipped(file, mapped) if zipped else _unzipped(file)

    def leaf(value: Any) -> Any:
        if not isinstance(value, Strided):
            return value
        return StoredTensor(value.shape, partial(_read, value, mapped, records))

    return content, leaf


def _read(tensor: Strided, mapped: mmap.mmap, records: Records) -> Tensor:
    """A tensor, mapped from the file.

    Raises:
        TokzooError: the file is cut off.
    """
    storage = tensor.storage
    begin, size = records.get(storage.key, (0, -1))
    needed = storage.numbers * storage.dtype.itemsize
    if not needed <= size <= len(mapped) - begin:
        raise TokzooError(f"its storage {storage.key} is cut off: {max(size, 0)} of {needed} bytes")
    if not needed:
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    # Numbers must lie where the processor can read them: the older format puts them anywhere.
    memory = mapped if begin % 8 == 0 else bytearray(mapped[begin : begin + needed])
    whole = torch.frombuffer(memory, dtype=torch.uint8, count=needed, offset=begin if memory is mapped else 0)
    usable = needed // tensor.dtype.itemsize * tensor.dtype.itemsize
    return whole[:usable].view(tensor.dtype).as_strided(tensor.shape, tensor.stride, tensor.offset)


def _zipped(file: IO[bytes], mapped: mmap.mmap) -> tuple[Any, Records]:
    """The format since torch 1.6: a zip archive of a pickle and a record a storage, none of them compressed."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1]
        if len(names) != 1:
            raise ValueError("a zip archive, but not one that torch.save wrote")
        top = names[0].removesuffix("data.pkl")
        if f"{top}constants.pkl" in archive.namelist():
            raise pickle.UnpicklingError("it is a TorchScript archive, which is code; save the model's state_dict")
        where = {}
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{info.filename} in it is compressed")
            name_length, extra_length = struct.unpack_from("<HH", mapped, info.header_offset + 26)
            begin = info.header_offset + 30 + name_length + extra_length
            where[info.filename.removeprefix(top)] = begin, info.file_size
    order = where.get("byteorder")
    if order and mapped[order[0] : sum(order)] == b"big":
        raise ValueError("its numbers are big-endian")
    begin, size = where["data.pkl"]
    content, _ = unpickle(BytesIO(mapped[begin : begin + size]))
    return content, {name.removeprefix("data/"): at for name, at in where.items() if name.startswith("data/")}


def _unzipped(file: IO[bytes]) -> tuple[Any, Records]:
    """The format before torch 1.6: some pickles, then the length and the numbers of each storage."""
    if unpickle(file)[0] != MAGIC or unpickle(file)[0] != PROTOCOL:
        raise ValueError("torch.save did not write it")
    about, _ = unpickle(file)
    if not isinstance(about, Mapping) or not about.get("little_endian", True):
        raise ValueError("its numbers are big-endian")
    content, storages = unpickle(file)
    keys, _ = unpickle(file)
    records: dict[str, tuple[int, int]] = {}
    position = file.tell()
    for key in keys:
        file.seek(position)
        (numbers,) = struct.unpack("<q", file.read(8))
        records[key] = position + 8, numbers * storages[key].dtype.itemsize
        position = sum(records[key])
    return content, records
