"""Whatever stands in a recipe, a track, an override or a record: what comes of it is a value, or one message."""

import contextlib
import io
import json
from collections.abc import Mapping
from copy import deepcopy

import hypothesis
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.conftest import ROOT
from tokzoo.bench.cell import warnings
from tokzoo.bench.plan import MOST_SEEDS, Request, make_cells, make_plan, parse_seeds, split
from tokzoo.bench.stages import stages_of
from tokzoo.contracts.errors import TokzooError
from tokzoo.leaderboard import formats
from tokzoo.leaderboard.rows import build_tables
from tokzoo.leaderboard.terminal import print_tables
from tokzoo.leaderboard.values import choose, plain
from tokzoo.recipes.explain import explain_recipe, explain_track
from tokzoo.recipes.load import Axis, Changes, load_recipe, load_suite, load_track
from tokzoo.records.schema import make_record, stored_id
from tokzoo.records.store import RecordStore
from tokzoo.registry.plugins import load_registry

REGISTRY = load_registry()
RECIPE, TRACK = "gigatok-2d-nano", "fashion-quick"
RECORD = json.loads((ROOT / "tests" / "data" / "records" / "dd24ba7affc1d15b.json").read_text(encoding="utf-8"))
GOOD = make_record(**{name: value for name, value in RECORD.items() if name not in ("id", "schema", "seed")}, seed=99)
TEXTS = {
    what: [path.read_text(encoding="utf-8") for path in getattr(REGISTRY, what).values()]
    for what in ("recipes", "tracks", "suites")
}
effort = pytest.mark.parametrize("cases", [100, pytest.param(1000, marks=pytest.mark.slow)])


def hammer(cases, strategy, attempt):
    """Have ``attempt`` made of many cases; all it may raise is a message."""

    @settings(
        max_examples=cases, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def fuzz(case):
        try:
            attempt(case)
        except TokzooError as error:
            hypothesis.note(str(error))

    fuzz()


def values_of(data, key=()):
    """Every value in nested mappings, by its dotted key."""
    found = {".".join(key): data} if key else {}
    for name, value in data.items() if isinstance(data, Mapping) else ():
        found |= values_of(value, (*key, name))
    return found


NAMES = [entry.spec.name for entry in REGISTRY.components]
VALUES = values_of({**load_recipe(RECIPE, REGISTRY).dump(), "track": load_track(TRACK, REGISTRY).dump()})
KEYS = [
    *(*sorted(VALUES), "init", "init.parts", "weights", "ar", "ar.use", "ar.weights", "extends", "regularizers.x"),
    *("regularizers.x.use", "sampler.ar", "train.tokenizer.parts.regularizers.l1.lr", "quantizer.revive.decay"),
]
ODD = [
    *("null", "~", "true", "", " ", "0", "-1", "1.5", "1e400", "0x10", "1_0", "08", "1:30", str(2**63), "1e3", "nan"),
    *("!!float .inf", "!!float .nan", "!!int x", "!!bool x", "!!set {a}", "!!binary aGk=", "!!timestamp x", "!x y"),
    *("!!omap [a: 1]", "!!python/name:os.system", "&a [*a]", "&a {b: *a}", "*a", "{1: l1}", "{null: null}"),
    *("{[1]: 2}", "{use: 5}", "{use: null}", "[[]]", "[{}]", '{"": 1}', "{<<: 1}", "{<<: {a: 1}}", "{{}}", "[", "}"),
    *('"\\ud800"', '"\\0"', '"\\e[31m"', "~nosuch/x", "/dev/null", "/nowhere", ".", "..", "a,b", "vq,fsq", "- a"),
    *("?", "|", ">", "@", "`", "%", "#", "=", "sha256:00", "2024-01-31", "9" * 5000, "[" * 300, "n" * 9999),
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(NAMES)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["use", "codes", "x", "1"]) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
texts = st.sampled_from(ODD) | values.map(json.dumps) | st.text(max_size=20)
keys = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(lambda key: f"{key}+") | st.text(max_size=10)


def alike(value):
    """Values of the kind of another."""
    if isinstance(value, bool) or value is None:
        return st.sampled_from([True, False, None, 1, 0.5])
    if isinstance(value, int | float):
        return st.sampled_from([0, 1, 2, 4, 64, 0.25, value, 10 * value, -value]) | st.integers(0, 10**6)
    return st.sampled_from(NAMES) if isinstance(value, str) else st.just(value) | values


likely = st.sampled_from(sorted(VALUES)).flatmap(
    lambda key: alike(VALUES[key]).map(lambda value: f"{key}={json.dumps(value)}")
)
overrides = st.lists(likely, min_size=1, max_size=2) | st.lists(
    likely | st.tuples(keys, texts).map("=".join), min_size=1, max_size=3
)


@effort
def test_overrides(cases):
    def attempt(changes):
        _, parsed = split([RECIPE, *(change for change in changes if "=" in change)])
        request = Request((RECIPE,), Changes.of(parsed), TRACK)
        for cell in make_cells(make_plan(request, REGISTRY), REGISTRY):
            assert cell.recipe.name.isprintable()
            lines = [*explain_recipe(cell.recipe), *explain_track(cell.track), *warnings(cell)]
            json.dumps([cell.id, cell.dump(), [stage.key for stage in stages_of(cell)], lines], default=str).encode()

    hammer(cases, overrides, attempt)


@effort
def test_grids_and_seeds(cases):
    def attempt(case):
        axis, seeds = case
        with contextlib.suppress(TokzooError):
            assert 0 < len(parse_seeds(seeds)) <= MOST_SEEDS
        request = Request((RECIPE,), track=TRACK, axes=(Axis.parse(axis),))
        make_cells(make_plan(request, REGISTRY), REGISTRY)

    seeds = st.text("0123456789-, ²٣a", max_size=12)
    listed = st.lists(texts, min_size=1, max_size=2).map(", ".join)
    axes = likely.map(lambda text: text.replace("=", "=[", 1) + "]") | st.tuples(keys, listed).map(
        "{0[0]}=[{0[1]}]".format
    )
    hammer(cases, st.tuples(axes, seeds), attempt)


def damaged(text):
    """A text with a piece cut out, and something else in its place."""
    place = st.integers(0, len(text))
    return st.tuples(place, st.integers(0, 30), texts).map(
        lambda cut: text[: cut[0]] + cut[2] + text[cut[0] + cut[1] :]
    )


@st.composite
def changed(draw, original):
    """Nested JSON with one of its values, or what a key is called, another."""
    data = deepcopy(original)
    holder = data
    while True:
        place = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if not (isinstance(holder[place], dict | list) and holder[place] and draw(st.booleans())):
            break
        holder = holder[place]
    if isinstance(holder, dict) and draw(st.booleans()):
        holder[draw(st.text(max_size=10))] = holder.pop(place)
    else:
        holder[place] = draw(values)
    return data


def written(texts):
    """Files of YAML: damaged in their text, or with another value."""
    damage = st.sampled_from(texts).flatmap(damaged)
    change = st.sampled_from([yaml.safe_load(text) for text in texts]).flatmap(changed).map(json.dumps)
    return damage | change | values.map(json.dumps)


@effort
@pytest.mark.parametrize(("what", "load"), [("recipes", load_recipe), ("tracks", load_track), ("suites", load_suite)])
def test_files(cases, what, load, tmp_path):
    path = tmp_path / "mine@2.yaml"

    def attempt(text):
        path.write_bytes(text.encode(errors="surrogatepass"))
        loaded = load(str(path), REGISTRY)
        if what != "suites":
            json.dumps([loaded.identity(), loaded.dump(places=False)], allow_nan=False).encode()

    extending = [f"extends: {RECIPE if what == 'recipes' else TRACK}\nregularizers: {{x: l1}}\nmetrics+: [ssim]\n"]
    hammer(cases, written([*TEXTS[what], *extending]), attempt)


FREE = [("recipe", "content"), ("track", "content"), ("versions",), ("observed",), ("shapes",), ("provenance",)]


@st.composite
def plausible_record(draw):
    """A record with another number, and something else where a record may hold anything."""
    data = deepcopy(RECORD)
    data["metrics"][draw(st.sampled_from(sorted(data["metrics"])))]["value"] = draw(st.floats(allow_nan=False))
    *above, last = draw(st.sampled_from(FREE))
    holder = data[above[0]] if above else data
    holder[last] = draw(changed(holder[last])) if holder.get(last) else draw(st.dictionaries(st.text(), values))
    return data


@effort
def test_records(cases, tmp_path):
    store = RecordStore(tmp_path)

    def attempt(case):
        data, is_whole = case
        if is_whole and isinstance(data, dict):
            with contextlib.suppress(ValueError):
                data = {**data, "id": stored_id(data)}
        content = data if isinstance(data, str) else json.dumps(data)
        name = data["id"] if is_whole and isinstance(data, dict) else "x"
        (tmp_path / f"{name}.json").write_bytes(content.encode(errors="surrogatepass"))
        try:
            records, problems = store.read()
            assert len(records) + len(problems) == 1
            assert all(problem.isprintable() for problem in problems)
            tables = build_tables([*records, GOOD])
            shown = io.StringIO()
            print_tables(choose(tables), Console(file=shown, width=80))
            shown.getvalue().encode()
            for write in (formats.json, formats.csv, formats.markdown, formats.latex):
                write([plain(table) for table in tables]).encode()
        finally:
            (tmp_path / f"{name}.json").unlink()

    text = json.dumps(RECORD)
    hostile = st.tuples(changed(RECORD), st.booleans()) | damaged(text).map(lambda t: (t, False))
    hammer(cases, hostile | st.tuples(plausible_record(), st.just(True)), attempt)
