"""Writes ``docs/reference.md`` from the code: hooks, what a plugin registers, the interfaces of each kind, every name.

``python docs/make_reference.py`` writes the page; with ``--check`` it compares, and exits with 1 where they differ.
All but the list of checks is read from the sources and not from living objects: every Python writes the same page.
"""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rendering import Definition, class_page, described, first_line, members, prose, signature, table, written

import tokzoo

PAGE = Path(__file__).with_name("reference.md")
CONTRACTS = ("errors", "specs", "configs", "outputs", "executors", "interfaces", "capabilities", "formats")
HEAD = """\
# Reference

What a plugin implements and what it is given. Written from the code by `python docs/make_reference.py`: change the
docstrings, not this page. [compatibility.md](compatibility.md) says how long these things stay as they are.

`tokzoo.X` is imported by `import tokzoo`, on first use; what has a longer name is imported from that module. What is
marked *required* has no default.
"""
HOOKS = """\
A plugin is a module with functions of these names, each marked with `@tokzoo.hookimpl`. An implementation may leave out
arguments it does not need, and a plugin may leave out hooks it does not need.
"""
CONFORMANCE = """\
`tokzoo plugins check` runs these checks, and so does a test class in a package:

```python
import tokzoo.testing


class TestLattice(tokzoo.testing.QuantizerConformance):
    component = "me/lattice"
    config = {"levels": 5}
```
"""
KINDS = {
    "encoder": "EncoderConfig Encoder Encoded",
    "quantizer": "QuantizerConfig Quantizer Quantized StepContext Overwritten HasAssignment Assignment",
    "decoder": "DecoderConfig Decoder Decoded DecodesFeatureMap",
    "regularizer": "RegularizerConfig Regularizer ImageTermConfig ImageTerm Adversary Pass View Progress",
    "ar": "ARConfig ARModel ARLoss",
    "dataset": "DatasetConfig Dataset Split Crops",
    "teacher": "TeacherConfig Teacher",
    "metric": "MetricConfig MetricInfo Metric ReconstructionBatch LikelihoodBatch GenerationBatch "
    "RepresentationProbe EfficiencyProbe",
    "executor": "ExecutorConfig Executor Job Event ENDS Work Events",
}
"""What belongs to each kind, in the order in which one implements it."""

REGISTRATION = "ComponentSpec FormatSpec hookimpl TOKZOO_API"
GROUPS = {
    "Configs of every kind": "Config ComponentConfig ComponentRef",
    "Shapes": "ImageSpec FeatureMapSpec LatentSpec CodeSpec HiddenSpec Chain Layout Tap ASSIGNMENT "
    "FEATURE_MAP_DECODING CROPS",
    "Components within components": "build build_teacher start",
    "Checkpoints of other code bases": "CheckpointFormat Kept Shape",
    "Errors": "TokzooError Refusal Diverged Broken",
}
"""What belongs to no kind. What tokzoo exports beside all this stands at the end."""

UNSAID = {
    "hookimpl": "Marks a function as an implementation of the hook of its name.",
    "__version__": "The version of tokzoo.",
}
"""Of names that have no docstring in the code."""


@dataclass(frozen=True)
class Named:
    """A public name: where it is defined, and what is said of it there."""

    name: str
    module: str
    node: Definition
    said: str

    @property
    def path(self) -> str:
        """How one writes it."""
        return f"{'tokzoo' if self.name in tokzoo.__all__ else self.module}.{self.name}"

    def page(self) -> str:
        """Its section."""
        if isinstance(self.node, ast.ClassDef):
            body = class_page(self.node)
        elif isinstance(self.node, ast.FunctionDef):
            body = f"```python\ndef {signature(self.node)}\n```\n\n{described(self.said)}"
        else:
            # A version changes with every release, and no page should have to.
            code = "" if self.name == "__version__" else f"```python\n{written(self.node)}\n```\n\n"
            body = code + (prose(self.said) or UNSAID.get(self.name, ""))
        return f"### `{self.path}`\n\n{body}".rstrip()

    def row(self) -> tuple[str, str]:
        """Its line in the list of names, with a link to its section."""
        link = f"[`{self.path}`](#{re.sub(r'[^a-z0-9_]', '', self.path.lower())})"
        return link, first_line(self.said) or UNSAID[self.name]


@cache
def definitions(module: str) -> dict[str, Named]:
    """What a module defines at its top, in order."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return {name: Named(name, module, node, said) for name, node, said in members(tree.body)}


def exported() -> dict[str, Named]:
    """Every name that tokzoo exports."""
    homes = {name: module for module, names in tokzoo._EXPORTS.items() for name in names}
    homes |= dict.fromkeys(("TOKZOO_API", "__version__"), "tokzoo._version")
    return {name: definitions(module)[name] for name, module in homes.items()}


def everything() -> dict[str, Named]:
    """Every exported name, and of the contracts every class and what is placed above."""
    found = exported()
    placed = " ".join([*KINDS.values(), *GROUPS.values()]).split()
    for module in CONTRACTS:
        for name, named in definitions(f"tokzoo.contracts.{module}").items():
            if not name.startswith("_") and (isinstance(named.node, ast.ClassDef) or name in placed):
                found.setdefault(name, named)
    return found


def hook_pages() -> Iterator[str]:
    """Every hook: its exact signature, and what it is for."""
    for name, named in definitions("tokzoo.registry.hookspecs").items():
        if name.startswith("tokzoo_"):
            assert isinstance(named.node, ast.FunctionDef)
            yield f"### `{name}`\n\n```python\ndef {signature(named.node)}\n```\n\n{described(named.said)}"


def checks(kind: str = "") -> str:
    """The conformance checks of a kind, or of every kind, one per line."""
    # Late: the kit needs torch.
    from tokzoo.testing import any_kind, conformance

    found = conformance.CHECKS[kind] if kind else any_kind.CHECKS
    return "\n".join(f"- `{check.__name__}`: {first_line(check.__doc__ or '')}" for check in found)


def kind_page(kind: str, names: Iterable[Named]) -> str:
    """All that is needed to implement a kind."""
    spoken = "AR model" if kind == "ar" else kind
    head = f'## {spoken[0].upper()}{spoken[1:]}\n\n`ComponentSpec(kind="{kind}", …)`'
    return "\n\n".join([head, *(named.page() for named in names), f"### Checked of every {spoken}", checks(kind)])


def conformance_page() -> str:
    """The kit: its classes, what they are told, and what is checked of every kind."""
    from tokzoo.testing import __all__ as names

    listed = ", ".join(f"`{name}`" for name in names if name.endswith("Conformance"))
    base = definitions("tokzoo.testing.conformance")["Conformance"].node
    assert isinstance(base, ast.ClassDef)
    head = f"## Conformance\n\n{CONFORMANCE}\nThere is one per kind: {listed}."
    defaults = replace(definitions("tokzoo.testing.defaults")["check_defaults"], module="tokzoo.testing").page()
    return "\n\n".join([head, class_page(base), "### Checked of every component", checks(), defaults])


def building_blocks() -> Iterator[str]:
    """What plugins may build with."""
    spec = importlib.util.find_spec("tokzoo.nn")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).glob("[!_]*.py")):
            for name, named in definitions(f"tokzoo.nn.{path.stem}").items():
                if not name.startswith("_") and isinstance(named.node, ast.ClassDef | ast.FunctionDef):
                    yield named.page()


def reference() -> str:
    """The page."""
    names = everything()

    def take(listed: str) -> list[Named]:
        return [names.pop(name) for name in listed.split()]

    parts = [HEAD, f"## Hooks\n\n{HOOKS}", *hook_pages(), "## Registration"]
    parts += [named.page() for named in take(REGISTRATION)]
    parts += [kind_page(kind, take(listed)) for kind, listed in KINDS.items()]
    for title, listed in GROUPS.items():
        parts += [f"## {title}", *(named.page() for named in take(listed))]
    rows = [named.row() for _, named in sorted(exported().items(), key=lambda pair: pair[0].lower())]
    parts += [conformance_page(), "## Building blocks", *building_blocks()]
    parts += ["## From Python", *(named.page() for named in names.values())]
    parts += ["## Every name of `tokzoo`", table(("name", "what it is"), rows)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    made = reference()
    if arguments != ["--check"]:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        sys.stderr.write(f"{PAGE.name} is not what the code says; run: python docs/{Path(__file__).name}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
