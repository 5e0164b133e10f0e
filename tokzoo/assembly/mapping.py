"""Our tensors made of foreign ones, and foreign ones of ours, as :class:`~tokzoo.contracts.formats.Kept` says."""

from collections.abc import Callable, Iterable, Mapping
from math import prod

import torch
from torch import Tensor

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.formats import Kept, Shape

Key = tuple[str, str]
"""Section and key of a foreign tensor."""
Kepts = Mapping[str, tuple[Kept, ...]]


def gather(places: tuple[Kept, ...], shape: Shape, read: Callable[[Kept], Tensor]) -> Tensor:
    """Our tensor of such a shape; a view where the numbers lie in order, a copy where they do not."""
    parts = [_part(place, read(place)) for place in places]
    whole = parts[0] if len(parts) == 1 else torch.cat([part.flatten() for part in parts])
    return whole.reshape(shape)


def scatter(kepts: Kepts, ours: Mapping[str, Tensor]) -> dict[Key, Tensor]:
    """The foreign tensors that ours are kept in."""
    foreign: dict[Key, Tensor] = {}
    for name, places in kepts.items():
        numbers = ours[name].flatten().split([place.numbers for place in places])
        for place, piece in zip(places, numbers, strict=True):
            key = place.section, place.key
            if key not in foreign:
                foreign[key] = piece.new_empty(place.shape)
            part = _viewed(place, foreign[key])
            shape = part[_rows(place)].permute(_axes(place)).shape
            part[_rows(place)] = piece.reshape(shape).permute(_inverse(_axes(place)))
    return foreign


def check_mapping(kepts: Kepts, shapes: Mapping[str, Shape]) -> None:
    """Raise :class:`TokzooError` unless every number of every foreign tensor named stands for one of ours."""
    faults = [
        f"{name} has {prod(shapes[name])} numbers, and is kept in {sum(place.numbers for place in places)}"
        for name, places in kepts.items()
        if prod(shapes[name]) != sum(place.numbers for place in places)
    ]
    by_key: dict[Key, list[Kept]] = {}
    for place in (place for places in kepts.values() for place in places):
        by_key.setdefault((place.section, place.key), []).append(place)
    for (_, key), places in by_key.items():
        if len({place.shape for place in places}) > 1:
            faults.append(f"{key} has several shapes: {', '.join(str(place.shape) for place in places)}")
        elif not _covered(places):
            faults.append(f"{key} is not read as a whole, each number once")
    if faults:
        raise TokzooError(f"this checkpoint format contradicts itself: {'; '.join(faults[:5])}")


def _covered(places: Iterable[Kept]) -> bool:
    places = list(places)
    if len(places) == 1:
        return places[0].numbers == prod(places[0].shape)
    times = torch.zeros(places[0].shape, dtype=torch.uint8)
    for place in places:
        _viewed(place, times)[_rows(place)] += 1
    return bool((times == 1).all())


def _part(place: Kept, whole: Tensor) -> Tensor:
    if place.view is place.rows is place.axes is None:
        return whole
    return whole.reshape(place.viewed)[_rows(place)].permute(_axes(place))


def _viewed(place: Kept, whole: Tensor) -> Tensor:
    return whole.view(place.viewed)


def _rows(place: Kept) -> tuple[slice | list[int], ...]:
    """An index of the viewed tensor; a slice where that can be, which copies nothing."""
    rows = place.rows
    if rows is None:
        return (slice(None),) * len(place.viewed)
    before = (slice(None),) * place.axis
    if isinstance(rows, range) and rows.step > 0:
        return (*before, slice(rows.start, rows.stop, rows.step))
    return (*before, list(rows))


def _axes(place: Kept) -> tuple[int, ...]:
    return tuple(range(len(place.viewed))) if place.axes is None else place.axes


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(axis) for axis in range(len(axes)))
