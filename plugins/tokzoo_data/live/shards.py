"""A split as WebDataset shards: tar files whose members ``KEY.jpg`` and ``KEY.cls`` make a sample. No torch here.

A key is a member's name up to the first dot of its last part; ``cls`` holds the label as a decimal number
(https://github.com/webdataset/webdataset). Members are found once and then read where they lie, in any order, so that a
training can go on from any step.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tokzoo.data.pictures import shown
from tokzoo_data.images.cache import in_parallel
from tokzoo_data.live.listing import DATASET, Listing, Stamps, kept, mistake

PICTURES = frozenset({"jpeg", "jpg", "png", "webp"})
LABEL = "cls"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
NUMBER = re.compile(r"(\d+)(?=(?:-of-\d+)?\.tar$)")


class Member(NamedTuple):
    """A picture in a shard; ``label`` is None if it has none."""

    name: str
    offset: int
    size: int
    label: int | None


def named_shards(root: Path, pattern: str) -> list[str]:
    """The shards a pattern such as ``train-{000000..000099}.tar`` stands for; all of them must be there.

    Raises:
        tokzoo.TokzooError: the pattern has no such range, or shards are missing.
    """
    match = RANGE.search(pattern)
    if match is None or int(match[2]) < int(match[1]):
        raise mistake(f"{pattern!r} has no range of numbers; write it as in train-{{000000..000099}}.tar")
    width = len(match[1])
    numbers = range(int(match[1]), int(match[2]) + 1)
    names = [f"{pattern[: match.start()]}{number:0{width}}{pattern[match.end() :]}" for number in numbers]
    _check_all_there(root, [name for name in names if not (root / name).is_file()])
    return names


def found_shards(root: Path, stem: str) -> list[str]:
    """The shards ``STEM-*.tar``, in order; their numbers must have no gap.

    Raises:
        tokzoo.TokzooError: a number between the first and the last is missing.
    """
    names = sorted(path.relative_to(root).as_posix() for path in root.glob(f"{stem}-*.tar"))
    found = [match for name in names if (match := NUMBER.search(name))]
    if len(found) == len(names) > 0:
        numbers = {int(match[1]) for match in found}
        first = found[0]
        missing = [number for number in range(min(numbers), max(numbers)) if number not in numbers]
        _check_all_there(root, [f"{first.string[: first.start()]}{n:0{len(first[1])}}…" for n in missing])
    return names


def _check_all_there(root: Path, missing: list[str]) -> None:
    if missing:
        more = f" and {len(missing) - 3} more shards" if len(missing) > 3 else ""
        raise mistake(f"{shown(root)}: {', '.join(map(shown, missing[:3]))}{more} missing; fetch what is missing")


def list_shards(root: Path, shards: list[str], labelled: bool) -> Listing:
    """The pictures in shards, in their order.

    Raises:
        tokzoo.TokzooError: a shard is damaged or holds no picture, or a picture has no label that is to have one.
    """

    def stamps() -> Stamps:
        found = [(name, (root / name).stat()) for name in shards]
        return [[name, about.st_size, about.st_mtime_ns] for name, about in found]

    return kept(["shards", shards, labelled], root, stamps, lambda: _find(root, shards, labelled))


def _find(root: Path, shards: list[str], labelled: bool) -> Listing:
    read = in_parallel(lambda name: _members(root / name, labelled), shards, f"listing {root}", DATASET)
    rows = [(number, member) for number, members in enumerate(read) for member in members]
    return Listing.of(
        root,
        [member.name for _, member in rows],
        [member.size for _, member in rows],
        labels=[member.label for _, member in rows] if labelled else (),
        shards=shards,
        shard=[number for number, _ in rows],
        offsets=[member.offset for _, member in rows],
    )


def _members(path: Path, labelled: bool) -> list[Member]:
    pictures: dict[str, Member] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as file:
            for key, extension, member in _parts(file):
                if extension in PICTURES:
                    if key in pictures:
                        raise mistake(f"{shown(path)}: {shown(key)} has two pictures; keep one")
                    pictures[key] = Member(member.name, member.offset_data, member.size, None)
                elif extension == LABEL and labelled:
                    labels[key] = _label(path, member, file)
    except (OSError, tarfile.TarError) as error:
        raise mistake(f"{shown(path)} is no whole tar file, or compressed ({error}); fetch it again") from error
    _check(path, pictures, labels, labelled)
    return [member._replace(label=labels.get(key)) for key, member in pictures.items()]


def _parts(file: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Each file in a shard, with its key and its extension."""
    for member in file:
        folder, slash, last = member.name.rpartition("/")
        name, _, extension = last.partition(".")
        if member.isreg() and name:
            yield folder + slash + name, extension.lower(), member


def _label(path: Path, member: tarfile.TarInfo, file: tarfile.TarFile) -> int:
    content = file.extractfile(member)
    assert content is not None
    text = content.read().strip()
    if not text.isdigit():
        raise mistake(f"{shown(path)}: {shown(member.name)} holds {text[:20]!r}, not the number of a class")
    return int(text)


def _check(path: Path, pictures: dict[str, Member], labels: dict[str, int], labelled: bool) -> None:
    if not pictures:
        raise mistake(f"{shown(path)} holds no picture ({', '.join(sorted(PICTURES))})")
    unlabelled = [key for key in pictures if key not in labels] if labelled else []
    if unlabelled:
        count = f"{len(unlabelled)} of {len(pictures)} pictures have"
        raise mistake(f"{shown(path)}: {count} no .cls, such as {shown(unlabelled[0])}; add it, or say labels: false")
