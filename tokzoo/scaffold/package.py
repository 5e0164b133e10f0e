"""``tokzoo plugins new``: a package that is right from the start, written from the templates beside this file.

A template is the text of a file with ``$name`` in it (:class:`string.Template`). In the names of files, PACKAGE, MODULE
and NAME stand for those of the new package, and ``dot-`` for a leading dot. No torch here.
"""

import importlib.metadata
import keyword
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from tokzoo._version import TOKZOO_API, __version__
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.registry.component import NAME
from tokzoo.registry.plugins import GROUP, load_registry

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".tmpl"
NOBODY = "my"
"""Stands for a group's name where none is given."""

LONGEST = 24
"""Letters of a name: a line of the templates holds it three times."""

TAKEN = frozenset({"configs", "plugin", "recipes", "tracks", "tensor"})
"""What the templates themselves have a file, a folder or a class of this name for."""

PREFIX = re.compile(r"^(.*/)?tokzoo[-_]([^/]+)$")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was written.

    Attributes:
        folder: where it lies.
        plugin: its name for tokzoo.
        distribution: its name for pip.
        package: its name for Python.
        component: the registered name of its component.
        files: what was written, relative to ``folder``.
        trial: what follows ``tokzoo run`` to try it.
    """

    folder: Path
    kind: str
    plugin: str
    distribution: str
    package: str
    component: str
    files: tuple[Path, ...]
    trial: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """What templates of a kind say in files common to all kinds."""

    noun: str
    summary: str
    paper: str
    trial: str = "gigatok-2d-nano $name-nano --track fashion-quick"
    offers: Literal["recipes", "tracks"] = "recipes"


KINDS = {
    "encoder": _Kind(
        "an encoder", "patches by a strided convolution, then residual blocks", "arXiv 2010.11929, section 3.1"
    ),
    "quantizer": _Kind("a quantizer", "every channel rounded to one of a few values", "arXiv 2309.15505, section 3.1"),
    "decoder": _Kind(
        "a decoder",
        "residual blocks, then a patch of pixels from each place",
        "arXiv 2012.09841",
        "gigatok-2d-nano-semantic $name-nano --track fashion-quick",
    ),
    "regularizer": _Kind("a regularizer", "the Charbonnier distance of pixels", "arXiv 1704.03915"),
    "ar": _Kind("an AR model", "gated recurrent units over codes", "arXiv 1406.1078"),
    "dataset": _Kind(
        "a dataset",
        "coloured shapes drawn from a seed",
        "",
        "gigatok-2d-nano --track $name-quick regularizers.perceptual=null",
        "tracks",
    ),
    "teacher": _Kind(
        "a teacher",
        "the lowest frequencies of patches, which nobody trained",
        "Ahmed, Natarajan and Rao 1974",
        "gigatok-2d-nano-semantic $name-nano --track fashion-quick",
    ),
    "metric": _Kind(
        "a metric",
        "mean absolute error of 8-bit reconstructions",
        "",
        "gigatok-2d-nano --track $name-quick",
        "tracks",
    ),
}
"""The kinds there are templates of: an executor is written by few, and has none."""


def write_package(name: str, kind: str, into: Path = Path(".")) -> Package:
    """Write a plugin package with a working component of ``kind`` to a folder in ``into``.

    All of it is written, or nothing.

    Args:
        name: ``lattice``, or ``org/lattice`` with the name of a group; ``tokzoo-`` before it is dropped, ``_`` is as
            good as ``-``. The folder is named as its last part is written here.
        kind: encoder, quantizer, decoder, regularizer, ar, dataset, teacher or metric.
        into: the folder that the package's own folder is made in.

    Raises:
        TokzooError: a name or kind that cannot be, or something of that name that is there already.
    """
    if kind not in KINDS:
        raise TokzooError(f"--kind {kind}: unknown; {suggest(kind, KINDS)}")
    org, last = _parts(name)
    words = _words(org, last, kind)
    texts = dict(sorted(_rendered(kind, words)))
    _check_free(words, texts)
    folder = into / name.rpartition("/")[2]
    try:
        _write(texts, folder)
    except OSError as error:
        raise TokzooError(f"{folder} cannot be written: {error.strerror or error}") from error
    return Package(
        folder=folder,
        kind=kind,
        plugin=last,
        distribution=words["distribution"],
        package=words["package"],
        component=words["component"],
        files=tuple(texts),
        trial=words["trial"],
    )


def _parts(name: str) -> tuple[str | None, str]:
    """The group's name, if there is one, and the last part."""
    bare = PREFIX.sub(r"\1\2", name).replace("_", "-")
    if not NAME.fullmatch(bare):
        raise TokzooError(f"name {name!r}: a name is lower-case words and numbers joined by '-', or 'org/name'")
    org, _, last = bare.rpartition("/")
    module, title = _identifiers(last)
    if not last[0].isalpha() or len(last) < 2:
        raise TokzooError(f"name {name!r}: a class is named after it, so it begins with a letter and has two or more")
    if max(len(org), len(last)) > LONGEST:
        raise TokzooError(f"name {name!r}: use at most {LONGEST} letters before and after the '/'")
    if keyword.iskeyword(module) or keyword.iskeyword(title):
        raise TokzooError(f"name {name!r}: a word of the Python language cannot name a module; add a word to it")
    if module in TAKEN:
        raise TokzooError(f"name {name!r}: the package has a part of that name already; add a word to it")
    return org or None, last


def _identifiers(last: str) -> tuple[str, str]:
    """The names of the module and of the class: ``my-lattice`` is in ``my_lattice``, as ``MyLattice``."""
    return last.replace("-", "_"), "".join(word.capitalize() for word in last.split("-"))


def _words(org: str | None, last: str, kind: str) -> dict[str, str]:
    """What stands for each ``$name`` of the templates."""
    facts = KINDS[kind]
    module, title = _identifiers(last)
    component = f"{org or NOBODY}/{last}"
    rename = f"- Put the name of your group in the place of `{NOBODY}` in every `{component}`.\n"
    return {
        "name": last,
        "kind": kind,
        "distribution": "-".join(("tokzoo", *([org] if org else []), last)),
        "package": f"tokzoo_{module}",
        "module": module,
        "component": component,
        "Class": title,
        "Conformance": f"{'AR' if kind == 'ar' else kind.capitalize()}Conformance",
        "a_kind": facts.noun,
        "summary": facts.summary,
        "Sentence": f"{facts.summary[0].upper()}{facts.summary[1:]}: {facts.noun} for tokzoo",
        "paper": facts.paper,
        "offer": facts.offers,
        "trial": Template(facts.trial).substitute(name=last),
        "rename": "" if org else rename,
        "api": repr((TOKZOO_API, TOKZOO_API)),
        "release": ".".join(__version__.split(".")[:2]),
    }


def _rendered(kind: str, words: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Every file of a package: where it goes in it, and its text."""
    for root in (TEMPLATES / "common", TEMPLATES / kind):
        for source in sorted(root.rglob(f"*{SUFFIX}")):
            target = source.relative_to(root).as_posix().removesuffix(SUFFIX)
            for stands, value in (("PACKAGE", "package"), ("MODULE", "module"), ("NAME", "name")):
                target = target.replace(stands, words[value])
            text = Template(source.read_text(encoding="utf-8")).substitute(words)
            yield Path(re.sub(r"(^|/)dot-", r"\1.", target)), text


def _check_free(words: Mapping[str, str], texts: Mapping[Path, str]) -> None:
    """Raise where an installed plugin has the package's name, or offers what it would offer."""
    for point in importlib.metadata.entry_points(group=GROUP):
        owner = point.dist.name if point.dist else "an installed plugin"
        if point.module.partition(".")[0] == words["package"] or point.name == words["name"]:
            raise TokzooError(f"{words['package']} is the name of a plugin of {owner} already; choose another name")
    files = [path for path in texts if path.suffix == ".yaml" and path.parent.name == words["offer"]]
    offers = {f"{words['kind']}/{words['component']}", *(f"{words['offer'][:-1]}/{path.stem}" for path in files)}
    for plugin in load_registry().plugins:
        for offer in sorted(offers.intersection(plugin.offers)):
            raise TokzooError(
                f"{offer} is already offered by plugin {plugin.name} ({plugin.origin}); choose another name"
            )


def _write(texts: Mapping[Path, str], folder: Path) -> None:
    """Write every file beside the folder, then put them in its place in one step."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TokzooError(
            f"{folder} is there already, and not empty; choose another name, or another folder with --into"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tokzoo-new-", dir=folder.parent) as temporary:
        # One level down, where it gets the permissions of any folder; a temporary one is its owner's alone.
        written = Path(temporary) / folder.name
        for path, text in texts.items():
            (written / path).parent.mkdir(parents=True, exist_ok=True)
            (written / path).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rmdir()
        written.rename(folder)
