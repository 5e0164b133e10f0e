"""Docstrings and definitions as Markdown, for ``make_reference.py``."""

import ast
import copy
import re
from collections.abc import Container, Iterable, Iterator
from textwrap import dedent, indent

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign
TITLES = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises", "Returns": "Returns", "Yields": "Yields"}
SECTION = re.compile(rf"^({'|'.join(TITLES)}):\n((?:[ ]+.*\n|\n)+)", flags=re.MULTILINE)
ENTRY = re.compile(r"^(\S[^:\n]*):\s(.*(?:\n[ ]+.*)*)", flags=re.MULTILINE)
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
WIDTH = 100
"""From how many characters on a signature takes a line for each argument."""


def written(node: ast.AST) -> str:
    """A piece of code with double quotes, as it is usually written."""
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(node))


def members(body: list[ast.stmt]) -> Iterator[tuple[str, Definition, str]]:
    """The definitions in a body, each with what is said of it: its docstring, or the string that follows it."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            follows = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            if isinstance(target, ast.Name):
                yield target.id, node, dedent(str(follows)).strip()


def prose(text: str) -> str:
    """A docstring's text: roles and double backquotes to code, literal blocks and examples to code blocks."""
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    made: list[str] = []
    while blocks:
        block = blocks.pop(0)
        if block.startswith(">>>"):
            made.append(f"```pycon\n{block}\n```")
            continue
        made.append(_in_words(block.removesuffix(":") if block.endswith("::") else block))
        literal: list[str] = []
        while block.endswith("::") and blocks and blocks[0].startswith("    "):
            literal.append(blocks.pop(0))
        if literal:
            code = dedent("\n\n".join(literal))
            made.append(f"```python\n{code}\n```")
    return "\n\n".join(made)


def _in_words(text: str) -> str:
    def role(match: re.Match[str]) -> str:
        return f"`{match[2].rpartition('.')[2] if match[1] else match[2]}`"

    return re.sub(r":\w+:`(~?)([^`]+)`", role, text).replace("``", "`")


def split(docstring: str) -> tuple[str, dict[str, dict[str, str]]]:
    """A Google-style docstring: its text, and its sections with what each says by name ("" where there are none)."""
    whole = docstring + "\n"
    sections = {}
    for title, body in SECTION.findall(whole):
        text = dedent(body).strip("\n")
        named = dict(ENTRY.findall(text)) if title not in ("Returns", "Yields") else {"": text}
        sections[title] = {name: " ".join(told.split()) for name, told in named.items()}
    return SECTION.sub("", whole).strip(), sections


def described(docstring: str, leave_out: Container[str] = ()) -> str:
    """A docstring, its sections as lists."""
    text, sections = split(docstring)
    parts = [prose(text)]
    for title, entries in sections.items():
        kept = {name: prose(told) for name, told in entries.items() if name.partition(",")[0] not in leave_out}
        if "" in kept:
            parts.append(f"{TITLES[title]}: {kept['']}")
        elif kept:
            parts.append("\n".join([f"{TITLES[title]}:\n", *(f"- `{name}`: {told}" for name, told in kept.items())]))
    return "\n\n".join(part for part in parts if part)


def first_line(docstring: str) -> str:
    """The summary of a docstring."""
    return prose(docstring.strip().partition("\n")[0])


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    titles = list(head)
    cells = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def signature(node: ast.FunctionDef) -> str:
    """A function as it is defined; a long one with a line for each argument."""
    returns = f" -> {written(node.returns)}" if node.returns else ""
    given = _arguments(node.args)
    one_line = f"{node.name}({', '.join(given)}){returns}"
    return (
        one_line
        if len(one_line) <= WIDTH
        else "\n".join([f"{node.name}(", *(f"    {e}," for e in given), f"){returns}"])
    )


def _arguments(given: ast.arguments) -> list[str]:
    """The arguments of a function, each as one would write it."""

    def one(argument: ast.arg, default: ast.expr | None = None, stars: str = "") -> str:
        kind = f": {written(argument.annotation)}" if argument.annotation else ""
        return f"{stars}{argument.arg}{kind}{f' = {written(default)}' if default else ''}"

    plain = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    shown = list(map(one, plain, defaults))
    if given.posonlyargs:
        shown.insert(len(given.posonlyargs), "/")
    if given.vararg:
        shown.append(one(given.vararg, stars="*"))
    elif given.kwonlyargs:
        shown.append("*")
    shown += map(one, given.kwonlyargs, given.kw_defaults)
    return [*shown, *([one(given.kwarg, stars="**")] if given.kwarg else [])]


def _bound(node: ast.FunctionDef, name: str = "") -> str:
    """A method as it is called, in one line; under another name, a class as it is made."""
    given = copy.deepcopy(node.args)
    del (given.posonlyargs or given.args)[0]
    returns = f" -> {written(node.returns)}" if node.returns and not name else ""
    return f"{name or node.name}({', '.join(_arguments(given))}){returns}"


def _method(node: ast.FunctionDef, said: str) -> str:
    """A method as an item of a list."""
    decorators = {written(each).rpartition(".")[2] for each in node.decorator_list}
    is_property = decorators & {"property", "cached_property"}
    marks = [
        *(["property"] if is_property else []),
        *(["class method"] if "classmethod" in decorators else []),
        *(["required"] if "abstractmethod" in decorators else []),
    ]
    shown = f"{node.name}: {written(node.returns)}" if is_property and node.returns else _bound(node)
    line = f"- `{shown}`" + (f" *({', '.join(marks)})*" if marks else "")
    text = indent(described(said), "  ")
    return f"{line}\n\n{text}" if text else line


def _field(name: str, node: ast.AnnAssign, said: str) -> list[str]:
    """A field as a row of a table."""
    value, default = node.value, written(node.value) if node.value else ""
    bounds: list[str] = []
    if isinstance(value, ast.Call) and written(value.func).rpartition(".")[2] in ("Field", "field"):
        given = {keyword.arg or "": keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        default = written(value.args[0]) if value.args else f"{written(factory)}()" if factory else ""
        default = {"dict()": "{}", "list()": "[]"}.get(default, default)
        said = said or (str(ast.literal_eval(given["description"])) if "description" in given else "")
        bounds = [f"{BOUNDS[key]} {written(at)}" for key, at in given.items() if key in BOUNDS]
    told = " ".join([_in_words(" ".join(said.split())), *([f"({', '.join(bounds)})"] if bounds else [])])
    return [f"`{name}`", f"`{written(node.annotation)}`", f"`{default}`" if default else "*required*", told.strip()]


def class_page(node: ast.ClassDef) -> str:
    """A class: its text, a table of its fields, a list of its methods."""
    docstring = ast.get_docstring(node) or ""
    sections = split(docstring)[1].get("Attributes", {})
    said = {name: told for names, told in sections.items() for name in names.split(", ")}
    fields: dict[str, list[str]] = {}
    methods: list[str] = []
    bases = ", ".join(written(base) for base in node.bases)
    head = f"class {node.name}({bases})" if bases else f"class {node.name}"
    for name, member, text in members(node.body):
        if isinstance(member, ast.FunctionDef) and name == "__init__":
            head += f"\n\n{_bound(member, node.name)}"
        elif name.startswith("_") and name != "__len__":
            continue
        elif isinstance(member, ast.FunctionDef):
            methods.append(_method(member, text))
        elif isinstance(member, ast.AnnAssign):
            fields[name] = _field(name, member, text or said.get(name, ""))
    parts = [f"```python\n{head}\n```", described(docstring, leave_out=fields)]
    if fields:
        parts.append(table(("field", "type", "default", "what it is"), fields.values()))
    if methods and parts[-1].rpartition("\n")[2].startswith("- "):
        # Two lists would read as one.
        parts.append("Methods:")
    return "\n\n".join(part for part in [*parts, *methods] if part)
