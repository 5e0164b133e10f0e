"""Checkpoints of other code bases: our tensors read out of them, and written into them, every key accounted for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokzoo.assembly.checkpoint_file import CheckpointFile, StoredTensor, describe_leaf
from tokzoo.assembly.mapping import Kepts, check_mapping, gather, scatter
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.formats import WEIGHTS, CheckpointFormat, Ignored, Kept, Shape
from tokzoo.data.files import write_atomic, writing

REGULARIZER = "regularizers."
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a foreign file.

    Attributes:
        tensors: by our names.
        weights: the place in the file that was read as the weights; "" for a file of nothing else.
        without: the regularizers the file holds nothing of, such as a discriminator.
        unread: the parts of the file that were not read, such as an optimizer's state.
    """

    tensors: dict[str, Tensor]
    weights: str
    without: tuple[str, ...]
    unread: tuple[str, ...]


def read_foreign(
    path: Path, kind: CheckpointFormat, recipe: Any, wanted: Mapping[str, Tensor], weights: str | None = None
) -> Read:
    """Read our tensors out of a foreign file.

    Args:
        path: ``.pt``, ``.pth``, ``.ckpt``, ``.bin`` or ``.safetensors``.
        kind: its format.
        recipe: what its model is made of.
        wanted: our tensors by name, on the meta device. Those of a regularizer may all be missing in the file.
        weights: the place of the weights; None: the format's first that is there.

    Raises:
        TokzooError: unreadable or refused; a key missing, left over, ambiguous, of another shape or kind, or holding
            NaN or infinity. All are named.
    """
    file = CheckpointFile.open(path)
    place = _place(file, kind, weights)
    kepts = located(kind, recipe, wanted, place)
    homeless = [name for name in wanted if not name.startswith(REGULARIZER) and name not in kepts]
    if homeless:
        raise TokzooError(f"{recipe.name}: such checkpoints have no place for {', '.join(homeless)}")
    sections = {section: file.section(section) for section in {part.section for part in _parts(kepts)} | {place}}
    kepts, without = _without_absent_regularizers(kepts, sections)
    ignored = [replace(one, section=place) if one.section == WEIGHTS else one for one in kind.ignored(recipe)]
    problems = _Problems(_misplaced(kepts, ignored, sections))
    tensors = {} if problems.found else _read(kepts, sections, wanted, problems)
    if problems.found:
        raise TokzooError(f"{path} is not a checkpoint of {recipe.name}; nothing was written. Its keys\n{problems}")
    return Read(tensors, place, tuple(without), file.others({part.section for part in _parts(kepts)}))


def write_foreign(path: Path, kind: CheckpointFormat, recipe: Any, ours: Mapping[str, Tensor]) -> int:
    """Write our tensors, those the format has a place for, as a foreign file.

    Returns:
        How many tensors it has.

    Raises:
        TokzooError: it cannot be written.
    """
    content: dict[str, Any] = {}
    for place in kind.written:
        for (section, key), tensor in scatter(located(kind, recipe, ours, place), ours).items():
            _put(content, section, key, tensor)
    for one in kind.ignored(recipe):
        if one.zeros is not None:
            section = kind.written[0] if one.section == WEIGHTS else one.section
            _put(content, section, one.pattern, torch.zeros(one.zeros, dtype=getattr(torch, one.dtype)))
    # torch tells of a full disk by a RuntimeError.
    with writing(path, RuntimeError):
        write_atomic(path, lambda temporary: torch.save(content, temporary))
    return sum(1 if isinstance(value, Tensor) else len(value) for value in content.values())


def located(kind: CheckpointFormat, recipe: Any, ours: Mapping[str, Tensor], place: str) -> Kepts:
    """Where each of our tensors is in a file whose weights are at ``place``."""
    shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()}
    kepts = {
        name: tuple(
            replace(part, section=place, key=kind.spelling(place, part.key)) if part.section == WEIGHTS else part
            for part in ((places,) if isinstance(places, Kept) else places)
        )
        for name, places in kind.kept(recipe, shapes).items()
    }
    check_mapping(kepts, shapes)
    return kepts


def _put(content: dict[str, Any], place: str, key: str, tensor: Tensor) -> None:
    """Under a part of the file, the first name of ``place``; what follows it is the beginning of the key."""
    part, _, prefix = place.partition(".")
    inside = content.setdefault(part, {}) if part else content
    inside[f"{prefix}.{key}" if prefix else key] = tensor


def _place(file: CheckpointFile, kind: CheckpointFormat, wanted: str | None) -> str:
    choices = [place for place in kind.weights if any(name.startswith(f"{place}.") for name in file.leaves)]
    if not choices and file.bare and wanted is None:
        return ""
    if not choices:
        there = (f"{part} ({describe_leaf(file.leaves[part])})" if part in file.leaves else part for part in file.parts)
        raise TokzooError(f"{file.path}: has no weights ({', '.join(kind.weights)}); it has {_some(list(there))}")
    if wanted is not None and wanted not in choices:
        raise TokzooError(f"{file.path}: has no weights '{wanted}'; {suggest(wanted, choices)}")
    return wanted or choices[0]


def _parts(kepts: Kepts) -> Iterable[Kept]:
    return (part for places in kepts.values() for part in places)


def _role(ours: str) -> str | None:
    return ours.split(".")[1] if ours.startswith(REGULARIZER) else None


Sections = Mapping[str, Mapping[str, Any]]


def _without_absent_regularizers(kepts: Kepts, sections: Sections) -> tuple[Kepts, list[str]]:
    """What is left once regularizers are gone of which the file holds nothing at all; and their roles."""
    present = {
        _role(name) for name, places in kepts.items() if any(part.key in sections[part.section] for part in places)
    }
    absent = sorted({role for role in map(_role, kepts) if role is not None} - present)
    return {name: places for name, places in kepts.items() if _role(name) not in absent}, absent


class _Problems:
    """What is wrong with a file's keys, by what it is."""

    def __init__(self, found: Mapping[str, list[str]]) -> None:
        self.found = {what: keys for what, keys in found.items() if keys}

    def add(self, what: str, key: str) -> None:
        self.found.setdefault(what, []).append(key)

    def __str__(self) -> str:
        return "\n".join(f"  {what}: {_some(list(dict.fromkeys(keys)))}" for what, keys in self.found.items())


def _misplaced(kepts: Kepts, ignored: Iterable[Ignored], sections: Sections) -> dict[str, list[str]]:
    """The keys that are missing, too many, or of another shape."""
    missing, misshapen = [], []
    for part in _parts(kepts):
        leaf = sections[part.section].get(part.key)
        if leaf is None:
            missing.append(part.key)
        elif not isinstance(leaf, StoredTensor):
            misshapen.append(f"{part.key} (is a {describe_leaf(leaf)}, and must be a tensor)")
        elif leaf.shape != part.shape:
            misshapen.append(f"{part.key} (has {_size(leaf.shape)}, and needs {_size(part.shape)})")
    known = {(part.section, part.key) for part in _parts(kepts)}
    extra = [
        key
        for section in {section for section, _ in known}
        for key in sections[section]
        if (section, key) not in known and not any(one.matches(section, key) for one in ignored)
    ]
    return {"missing": missing, "left over": extra, "of another shape": misshapen}


def _read(kepts: Kepts, sections: Sections, wanted: Mapping[str, Tensor], problems: _Problems) -> dict[str, Tensor]:
    def read(part: Kept) -> Tensor:
        try:
            tensor = sections[part.section][part.key].read()
        except TokzooError as error:
            problems.add("damaged", f"{part.key} ({error})")
            return torch.zeros(part.shape)
        if tensor.is_floating_point():
            # Weights that were kept short are used at full length.
            tensor = tensor.float()
            if not torch.isfinite(tensor).all():
                problems.add("NaN or infinite", part.key)
        return tensor

    tensors = {}
    for name, places in kepts.items():
        tensors[name] = gather(places, tuple(wanted[name].shape), read)
        if tensors[name].is_complex() or tensors[name].is_floating_point() != wanted[name].is_floating_point():
            need = f"holds {_kind(tensors[name])}, and needs {_kind(wanted[name])}"
            problems.add("of another kind", f"{places[0].key} ({need})")
    return tensors


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _size(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"
