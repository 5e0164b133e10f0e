"""Checkpoints of other code bases: read and written key by key. Nothing in a file is ever executed."""

import argparse
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.assembly.weights import save_weights
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.formats import WEIGHTS as WEIGHTS_SECTION
from tokzoo.contracts.formats import CheckpointFormat, Kept, Shape
from tokzoo.contracts.specs import Chain, ImageSpec
from tokzoo.data.files import write_atomic
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.saved import DESCRIPTION, RECIPE, REGULARIZERS, WEIGHTS, Saved
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue

Tensors = dict[str, Tensor]
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module")
"""What DDP, torch.compile and FSDP put into names, anywhere between the dots."""
SHOWN = 20
TOKENIZER, REGULARIZER = "tokenizer.", "regularizers."


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    Attributes:
        tensors: how many were written.
        left_out: of the saved ones, those that such files keep nowhere, by our names.
    """

    tensors: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        weights: the name of the part of the file that was read as the tokenizer's weights; "" for a bare file.
        tensors, parameters: how many tensors and numbers were read.
        without: the regularizers the file holds nothing of, such as a discriminator.
        unread: the parts of the file that were not read, such as an optimizer's state.
    """

    weights: str
    tensors: int
    parameters: int
    without: tuple[str, ...]
    unread: tuple[str, ...]


def import_checkpoint(
    path: Path,
    kind: CheckpointFormat,
    recipe: Recipe,
    catalogue: Catalogue,
    folder: Path,
    image: ImageSpec | None = None,
    weights: str | None = None,
) -> Imported:
    """Read a foreign checkpoint of ``recipe``; write a saved tokenizer that can be run, encoded and decoded with.

    Args:
        path: ``.pt``, ``.pth`` or ``.safetensors``.
        kind: its format.
        recipe: what its model is made of.
        catalogue: of components.
        folder: a new folder, or an empty one.
        image: of its model; None: as released.
        weights: which part of the file to take; None: the format's first choice that is there.

    Raises:
        TokzooError: unreadable, or asking to run code; a key missing, left over or of another shape, all named. Nothing
            is written then.
    """
    _check_new(folder)
    kind.accepts(recipe)
    chain = solve(recipe, image or kind.image, None, catalogue)
    name, sections, unread = read_sections(path, kind, weights)
    shapes = _shapes(recipe, chain)
    kept = kind.kept(recipe, shapes)
    homeless = [ours for ours in shapes if ours.startswith(TOKENIZER) and ours not in kept]
    if homeless:
        raise TokzooError(f"{recipe.name}: such checkpoints have no place for {', '.join(homeless)}")
    kept, without = _without_absent_regularizers(kept, sections)
    _check_keys(path, kept, kind.unused(recipe), sections, recipe)
    tensors = {ours: _ours(sections[place.section][place.key], shapes[ours]) for ours, place in kept.items()}
    _write(folder, recipe, chain, tensors)
    used = {place.section for place in kept.values()}
    left = (*unread, *(section for section in sections if section not in used))
    count = sum(tensor.numel() for tensor in tensors.values())
    return Imported(name, len(tensors), count, tuple(without), left)


def export_checkpoint(folder: Path, kind: CheckpointFormat, catalogue: Catalogue, path: Path) -> Exported:
    """Write a saved tokenizer, with the regularizers saved beside it, as a checkpoint that its origin can read.

    Raises:
        TokzooError: not a tokenizer's folder, or one that such checkpoints cannot hold.
    """
    saved = Saved.read(folder)
    recipe = resolve_recipe(Tree.from_data(saved.recipe, DESCRIPTION), catalogue)
    kind.accepts(recipe)
    ours = {TOKENIZER + name: tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    if (folder / REGULARIZERS).is_file():
        ours |= {REGULARIZER + name: tensor for name, tensor in load_file(folder / REGULARIZERS).items()}
    kept = kind.kept(recipe, {name: tuple(tensor.shape) for name, tensor in ours.items()})
    sections: dict[str, Tensors] = {}
    for name, place in kept.items():
        sections.setdefault(place.section, {})[place.key] = ours[name].reshape(place.shape)
    for place in kind.unused(recipe):
        sections[place.section][place.key] = torch.zeros(place.shape)
    content = {kind.written if name == WEIGHTS_SECTION else name: tensors for name, tensors in sections.items()}
    write_atomic(path, lambda temporary: torch.save(content, temporary))
    return Exported(sum(map(len, sections.values())), tuple(name for name in ours if name not in kept))


def read_sections(
    path: Path, kind: CheckpointFormat, wanted: str | None = None
) -> tuple[str, dict[str, Tensors], tuple[str, ...]]:
    """The tensors of a file by section, without the names that wrappers put before theirs.

    Returns:
        What the file calls the weights; the sections, ``"weights"`` among them; the names of what holds no tensors.
    """
    found = _load(path)
    if found and all(isinstance(value, Tensor) for value in found.values()):
        return "", {WEIGHTS_SECTION: _unwrapped(found)}, ()
    choices = [name for name in kind.weights if isinstance(found.get(name), Mapping)]
    if not choices:
        raise TokzooError(f"{path}: has no weights ({', '.join(kind.weights)}); it has {', '.join(map(str, found))}")
    if wanted is not None and wanted not in choices:
        raise TokzooError(f"{path}: has no weights '{wanted}'; {suggest(wanted, choices)}")
    name = wanted or choices[0]
    sections = {WEIGHTS_SECTION: _unwrapped(found[name])}
    unread = [other for other in choices if other != name]
    for key, value in found.items():
        if key in kind.weights:
            continue
        if isinstance(value, Mapping) and value and all(isinstance(tensor, Tensor) for tensor in value.values()):
            sections[key] = _unwrapped(value)
        else:
            unread.append(key)
    return name, sections, tuple(unread)


def _load(path: Path) -> Mapping[str, Any]:
    """The mapping in a file. Only tensors, plain values and ``argparse.Namespace`` are unpickled."""
    if not path.is_file():
        raise TokzooError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            # Mapped, so that optimizer states are never read; torch's older format cannot be.
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        why = str(error).strip().splitlines()
        reason = next((line for line in why if "Unsupported" in line or "GLOBAL" in line), why[0] if why else "")
        raise TokzooError(f"{path}: refused: it holds more than tensors and plain values. {reason.strip()}") from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError) as error:
        raise TokzooError(f"{path}: cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, Mapping):
        raise TokzooError(f"{path}: holds a {type(found).__name__}, not a checkpoint")
    return found


def _unwrapped(tensors: Mapping[str, Any]) -> Tensors:
    return {
        ".".join(part for part in str(name).split(".") if part not in WRAPPERS): tensor
        for name, tensor in tensors.items()
    }


def _shapes(recipe: Recipe, chain: Chain) -> dict[str, Shape]:
    """The shapes of everything that is saved of a recipe, from modules on the meta device."""
    with torch.device("meta"):
        objective = Objective(Tokenizer(recipe, chain), build_regularizers(recipe, chain))
    return {name: tuple(tensor.shape) for name, tensor in objective.state_dict().items()}


def _ours(tensor: Tensor, shape: Shape) -> Tensor:
    """A tensor of a file as it is saved here: numbers that were kept short are made float32."""
    return (tensor.float() if tensor.is_floating_point() else tensor).reshape(shape)


def _role(ours: str) -> str | None:
    return ours.split(".")[1] if ours.startswith(REGULARIZER) else None


def _without_absent_regularizers(
    kept: Mapping[str, Kept], sections: Mapping[str, Tensors]
) -> tuple[dict[str, Kept], list[str]]:
    """What is left once regularizers are gone of which the file holds nothing at all; and their roles."""
    present = {_role(ours) for ours, place in kept.items() if place.key in sections.get(place.section, {})}
    absent = sorted({role for role in map(_role, kept) if role is not None} - present)
    return {ours: place for ours, place in kept.items() if _role(ours) not in absent}, absent


def _check_keys(
    path: Path, kept: Mapping[str, Kept], unused: Iterable[Kept], sections: Mapping[str, Tensors], recipe: Recipe
) -> None:
    """Raise :class:`TokzooError` unless the file has exactly the keys it must, each in its shape."""
    missing, misshapen = [], []
    for place in kept.values():
        found = sections.get(place.section, {}).get(place.key)
        if found is None:
            missing.append(place.key)
        elif tuple(found.shape) != place.shape:
            misshapen.append(f"{place.key} (has {_size(found.shape)}, and needs {_size(place.shape)})")
    known = {(place.section, place.key) for place in (*kept.values(), *unused)}
    used = {place.section for place in kept.values()}
    extra = [key for section in used for key in sections.get(section, {}) if (section, key) not in known]
    problems = [
        f"  {what}: {_some(names)}"
        for what, names in (("missing", missing), ("left over", extra), ("of another shape", misshapen))
        if names
    ]
    if problems:
        lines = "\n".join(problems)
        raise TokzooError(f"{path} is not a checkpoint of {recipe.name}; nothing was written. Its keys\n{lines}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _size(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TokzooError(f"{folder}: is there already; name a new folder, or an empty one")


def _write(folder: Path, recipe: Recipe, chain: Chain, tensors: Mapping[str, Tensor]) -> None:
    """The whole folder, in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        for prefix, name in ((TOKENIZER, WEIGHTS), (REGULARIZER, REGULARIZERS)):
            part = {ours.removeprefix(prefix): value for ours, value in tensors.items() if ours.startswith(prefix)}
            if part:
                save_weights(part, temporary / name)
        dump = recipe.dump()
        Saved(temporary, dump, chain.image, None).write()
        text = yaml.safe_dump({"weights": ".", **dump}, sort_keys=False, allow_unicode=True)
        (temporary / RECIPE).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
