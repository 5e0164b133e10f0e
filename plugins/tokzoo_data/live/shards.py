"""A split as WebDataset shards: tar files whose members ``KEY.jpg`` and ``KEY.cls`` make a sample. No torch here.

A key is a member's name up to the first dot of its last part; ``cls`` holds the label as a decimal number
(https://github.com/webdataset/webdataset). Members are found once and then read where they lie, in any order, so that a
training can go on from any step.
"""

import itertools
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tokzoo.data.files import open_file, reading, shown
from tokzoo_data.images.cache import in_parallel
from tokzoo_data.live.listing import DATASET, Listing, Stamps, kept, mistake

PICTURES = frozenset({"jpeg", "jpg", "png", "webp"})
LABEL = "cls"
RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
NUMBER = re.compile(r"([0-9]+)(?=(?:-of-[0-9]+)?\.tar$)")
MOST_SHARDS = 100_000
LARGEST_LABEL = 1_000_000
LONGEST_LABEL = 64
"""Bytes of a file with a label."""
MISSING_NAMED = 3
KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Member(NamedTuple):
    """A picture in a shard; ``label`` is None if it has none."""

    name: str
    offset: int
    size: int
    label: int | None


def named_shards(root: Path, pattern: str) -> list[str]:
    """The shards a pattern such as ``train-{000000..000099}.tar`` stands for; all of them must be there.

    Raises:
        tokzoo.TokzooError: the pattern has no such range, one of too many shards, or shards are missing.
    """
    match = RANGE.search(pattern)
    # A name of more digits than these is none on any file system.
    if match is None or len(match[0]) > 255 or int(match[2]) < int(match[1]):
        raise mistake(f"{shown(pattern[:255])!r} has no range of numbers; write it as in train-{{000000..000099}}.tar")
    width = len(match[1])
    numbers = range(int(match[1]), int(match[2]) + 1)
    if numbers.stop - numbers.start > MOST_SHARDS:
        raise mistake(
            f"{pattern!r} stands for {numbers.stop - numbers.start:,} shards, and a split may have {MOST_SHARDS:,}; "
            "give the number of the last one"
        )
    names = [f"{pattern[: match.start()]}{number:0{width}}{pattern[match.end() :]}" for number in numbers]
    missing = [name for name in names if not (root / name).is_file()]
    _check_all_there(root, missing, len(missing))
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
        # Not all of them are looked at: one number may have hundreds of digits.
        gaps = itertools.islice((n for n in range(min(numbers), max(numbers)) if n not in numbers), MISSING_NAMED)
        missing = [f"{first.string[: first.start()]}{n:0{len(first[1])}}…" for n in gaps]
        _check_all_there(root, missing, max(numbers) - min(numbers) + 1 - len(numbers))
    return names


def _check_all_there(root: Path, missing: list[str], count: int) -> None:
    """``missing``: the first of the ``count`` names."""
    if missing:
        more = f" and {count - MISSING_NAMED} more shards" if count > MISSING_NAMED else ""
        named = ", ".join(map(shown, missing[:MISSING_NAMED]))
        raise mistake(f"{shown(root)}: {named}{more} missing; fetch what is missing")


def list_shards(root: Path, shards: list[str], labelled: bool) -> Listing:
    """The pictures in shards, in their order.

    Raises:
        tokzoo.TokzooError: a shard is damaged or holds no picture, or a picture has no label that is to have one.
    """

    def stamps() -> Stamps:
        found = []
        for name in shards:
            with reading(f"dataset {DATASET}: {root / name}"):
                about = (root / name).stat()
            found.append([name, about.st_size, about.st_mtime_ns])
        return found

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
    failures = (tarfile.TarError, ValueError, IndexError, OverflowError)  # tarfile raises the last at odd headers
    with (
        reading(f"dataset {DATASET}: {path}", "a whole tar file, uncompressed", *failures, mend="fetch it again"),
        open_file(path) as content,
        tarfile.open(fileobj=content, mode="r:") as file,
    ):
        for key, extension, member in _parts(path, file):
            if extension in PICTURES:
                if key in pictures:
                    raise mistake(f"{shown(path)}: {shown(key)} has two pictures; keep one")
                pictures[key] = Member(member.name, member.offset_data, member.size, None)
            elif extension == LABEL and labelled:
                labels[key] = _label(path, member, file)
        _check_end(file, content)
    _check(path, pictures, labels, labelled)
    return [member._replace(label=labels.get(key)) for key, member in pictures.items()]


def _parts(path: Path, file: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Each file in a shard, with its key and its extension."""
    for member in file:
        if not (member.isreg() or member.isdir()) or member.issparse():
            kind = KINDS.get(member.type, "something other than a file")
            raise mistake(f"{shown(path)}: {shown(member.name)} is {kind}; pack the shard anew, of files alone")
        if member.size < 0:
            raise tarfile.TarError("a member has a negative size")
        folder, slash, last = member.name.rpartition("/")
        name, _, extension = last.partition(".")
        if member.isreg() and name:
            yield folder + slash + name, extension.lower(), member


def _check_end(file: tarfile.TarFile, content: BinaryIO) -> None:
    """Raise TarError unless the list of members ended as tar files end: what is cut short or damaged just stops."""
    content.seek(file.offset)
    if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it ends at byte {file.offset:,} without the mark of an end")


def _label(path: Path, member: tarfile.TarInfo, file: tarfile.TarFile) -> int:
    content = file.extractfile(member)
    assert content is not None
    text = content.read(LONGEST_LABEL + 1).strip()
    if not text.isdigit():
        raise mistake(f"{shown(path)}: {shown(member.name)} holds {text[:20]!r}, not the number of a class")
    if len(text) > LONGEST_LABEL or int(text) > LARGEST_LABEL:
        number = text[:20].decode()
        raise mistake(f"{shown(path)}: {shown(member.name)} holds {number}; labels go up to {LARGEST_LABEL:,}")
    return int(text)


def _check(path: Path, pictures: dict[str, Member], labels: dict[str, int], labelled: bool) -> None:
    if not pictures:
        raise mistake(f"{shown(path)} holds no picture ({', '.join(sorted(PICTURES))})")
    unlabelled = [key for key in pictures if key not in labels] if labelled else []
    if unlabelled:
        count = f"{len(unlabelled)} of {len(pictures)} pictures have"
        raise mistake(
            f"{shown(path)}: {count} no .cls, such as {shown(unlabelled[0])}; add it, or say track.dataset.labels=false"
        )
