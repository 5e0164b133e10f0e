"""docs/reference.md is what the code says, names everything there is to implement, and is tested hook by hook."""

import importlib
import inspect
import re

import pytest

import tokzoo
from tests.conftest import ROOT
from tokzoo.contracts import capabilities, configs, errors, formats, interfaces, outputs, specs
from tokzoo.registry import hookspecs

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
HOOKS = [name for name in vars(hookspecs) if name.startswith("tokzoo_")]


@pytest.fixture
def docs(monkeypatch):
    """A function to import a module of docs/."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module


def section(title):
    """What the page says under a heading."""
    return re.search(rf"^#+ `{re.escape(title)}`\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)[1]


def test_the_page_is_what_the_generator_makes_now(docs, monkeypatch, tmp_path, capsys):
    generator = docs("make_reference")
    assert generator.main(["--check"]) == 0, "docs/reference.md is old: run python docs/make_reference.py"
    monkeypatch.setattr(generator, "PAGE", tmp_path / "reference.md")
    generator.main([])
    assert (tmp_path / "reference.md").read_text(encoding="utf-8") == PAGE
    (tmp_path / "reference.md").write_text(PAGE.replace("tokzoo_step_end", "tokzoo_step"), encoding="utf-8")
    assert generator.main(["--check"]) == 1
    assert "run: python docs/make_reference.py" in capsys.readouterr().err


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook):
    function = getattr(hookspecs, hook)
    code = re.search(r"```python\ndef (.*?)\n```", section(hook), flags=re.DOTALL)[1]
    # As it stands in the source, white space apart.
    source = re.search(r"def (.*?):\n", inspect.getsource(function), flags=re.DOTALL)[1]
    assert "".join(code.split()).replace(",)", ")") == "".join(source.split()).replace(",)", ")")
    assert inspect.getdoc(function).partition("\n")[0].replace("``", "`") in section(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_implemented_in_a_test_or_a_plugin(hook):
    texts = (path.read_text(encoding="utf-8") for room in ("tests", "plugins") for path in (ROOT / room).rglob("*.py"))
    assert any(f"def {hook}(" in text for text in texts), f"no test and no plugin implements {hook}"


def test_every_exported_name_has_a_section_and_a_line_in_the_list():
    for name in tokzoo.__all__:
        text = section(f"tokzoo.{name}")
        assert len(text.split()) > 3, f"nothing is said of {name}"
        assert f"| [`tokzoo.{name}`](#" in PAGE
    headings = {re.sub(r"[^a-z0-9_]", "", title.lower()) for title in re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= headings


def test_every_contract_and_all_its_public_methods_and_fields_are_there():
    for module in (capabilities, configs, errors, formats, interfaces, outputs, specs):
        for name, cls in vars(module).items():
            if not inspect.isclass(cls) or cls.__module__ != module.__name__:
                continue
            text = section(f"tokzoo.{name}" if name in tokzoo.__all__ else f"{module.__name__}.{name}")
            own = {*vars(cls), *inspect.get_annotations(cls)}
            for member in own:
                if not member.startswith(("_", "model_")):
                    assert re.search(rf"`{member}\b", text), f"{name}.{member} is not in the reference"


def test_nothing_private_and_no_markup_of_docstrings_is_shown():
    titles = re.findall(r"^### `(.*)`$", PAGE, flags=re.MULTILINE)
    assert not [title for title in titles if re.search(r"\._[a-z]", title)]
    prose = re.sub(r"^ *```.*?^ *```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r":(?:class|meth|func):|``", prose)
    assert not re.findall(r"^(?:Args|Raises|Returns|Attributes):\n\S", prose, flags=re.MULTILINE)


def test_docstrings_become_markdown(docs):
    rendering = docs("rendering")
    said = (
        "Does :meth:`it` with a :class:`~tokzoo.contracts.specs.Chain`, as in::\n\n    first()\n\n    second()\n\n"
        "Then more.\n\nArgs:\n    one: what ``one``\n        is.\n    two: the rest: all.\n\nReturns:\n    A number\n"
        "    of things.\n\nRaises:\n    Refusal: never."
    )
    assert rendering.described(said) == (
        "Does `it` with a `Chain`, as in:\n\n```python\nfirst()\n\nsecond()\n```\n\nThen more.\n\n"
        "Arguments:\n\n- `one`: what `one` is.\n- `two`: the rest: all.\n\n"
        "Returns: A number of things.\n\nRaises:\n\n- `Refusal`: never."
    )
    assert rendering.prose("Try it:\n\n>>> 1 + 1\n2") == "Try it:\n\n```pycon\n>>> 1 + 1\n2\n```"


def test_classes_become_tables_and_lists(docs):
    import ast
    from textwrap import dedent

    source = '''
    class Thing(Base):
        """A thing.

        Attributes:
            size, depth: how large.
        """

        size: int | None
        depth: int = Field(3, ge=1, lt=9)
        names: dict[str, str] = field(default_factory=dict)
        width: float = Field(1.0, description="in pixels", gt=0)
        kind: ClassVar[str]
        """What it is."""
        _hidden: int = 0

        def __init__(self, size: int, *more: int, deep: bool = False, **rest: str) -> None: ...

        @property
        def area(self) -> int:
            """Its area."""

        @classmethod
        def make(cls, /, size: int) -> Self: ...

        @abstractmethod
        def use(self, how: str = "well") -> None: ...

        def _hide(self): ...
    '''
    node = ast.parse(dedent(source)).body[0]
    assert docs("rendering").class_page(node) == dedent(
        """\
        ```python
        class Thing(Base)

        Thing(size: int, *more: int, deep: bool = False, **rest: str)
        ```

        A thing.

        | field | type | default | what it is |
        | --- | --- | --- | --- |
        | `size` | `int \\| None` | *required* | how large. |
        | `depth` | `int` | `3` | how large. (≥ 1, < 9) |
        | `names` | `dict[str, str]` | `{}` |  |
        | `width` | `float` | `1.0` | in pixels (> 0) |
        | `kind` | `ClassVar[str]` | *required* | What it is. |

        - `area: int` *(property)*

          Its area.

        - `make(size: int) -> Self` *(class method)*

        - `use(how: str = "well") -> None` *(required)*"""
    )
