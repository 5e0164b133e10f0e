import os

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.tree import Tree, apply_overrides, parse_override, parse_value


def tree(text):
    return Tree.from_text(text, "mine.yaml")


BASE = """
quantizer:
  use: vq
  codes: 64
  revive: {decay: 0.9}
regularizers:
  entropy: {use: entropy, weight: 0.1}
train: {lr: 1}
"""


def overridden(*texts, base=BASE):
    made = tree(base)
    apply_overrides(made, map(parse_override, texts))
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("1e-4", 1e-4),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_000", 1000),
        ("null", None),
        ("", None),
        ("true", True),
        ("[8, 8]", [8, 8]),
        ("{use: fsq, levels: [5, 5]}", {"use": "fsq", "levels": [5, 5]}),
        ("1e", "1e"),
        ("1.0.0", "1.0.0"),
        ("vit_base.lvd142m", "vit_base.lvd142m"),
        ("2024-01-31", "2024-01-31"),
        (".nan", ".nan"),
        ("'64'", "64"),
    ],
)
def test_values_are_read_as_they_are_meant(text, value):
    read = parse_value(text, "key")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", "a: b: c", "!!python/object/apply:os.system ['true']"])
def test_a_value_that_is_not_yaml_is_refused_with_its_key(text):
    with pytest.raises(TokzooError, match=r"^quantizer.codes: .* is not a YAML value"):
        parse_override(f"quantizer.codes={text}")


@pytest.mark.parametrize("text", ["quantizer", "=3", "quantizer.=3", ".codes=3", "a..b=3", " =3"])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(TokzooError, match="expected key=value"):
        parse_override(text)


def test_only_the_first_equals_sign_splits():
    assert parse_override("a . b=c=d") == (("a", "b"), "c=d")


def test_every_key_knows_its_line():
    made = tree(BASE)
    assert made.origins["quantizer", "codes"] == "mine.yaml:4"
    assert made.origins["quantizer", "revive", "decay"] == "mine.yaml:5"
    assert made.origin(("quantizer", "codes")) == "mine.yaml:4"
    assert made.origin(("regularizers", "entropy", "not", "there")) == "mine.yaml:7"
    assert made.origin(("nowhere",)) == "mine.yaml"


BILLIONS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOTTOMLESS = f"a: &a {'[' * 30}{']' * 30}\nb: 1\nc: {'[' * 30}*a{']' * 30}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "mine.yaml:3: 'a' is given twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "mine.yaml:4: 'b' is given twice"),
        ("a: [{use: x,\n     use: y}]\n", "mine.yaml:2: 'use' is given twice"),
        ("a: 1\n1: 2\n'1': 3\n", "mine.yaml:3: '1' is given twice"),
        ("a: [1,\nb: 2\n", "mine.yaml:3: not valid YAML: "),
        ("a: \x00", "mine.yaml: not valid YAML: "),
        ("- a\n- b\n", "mine.yaml: expected a mapping"),
        ("", "mine.yaml: expected a mapping"),
        ("a: !!python/name:os.system\n", "mine.yaml:1: not valid YAML: "),
        ("a: 1\nb: " + "[" * 300, "mine.yaml:2: values lie more than 50 deep"),
        (BILLIONS, "mine.yaml:5: more than 100,000 values, once its aliases are written out"),
        (BOTTOMLESS, "mine.yaml:3: values more than 50 deep in each other, once its aliases are written out"),
        ("a: &a [1, *a]\n", "mine.yaml:1: a value holds itself, by its alias"),
        ("a: 1\nb: &b {c: *b}\n", "mine.yaml:2: a value holds itself, by its alias"),
    ],
)
def test_a_file_that_is_not_a_mapping_of_distinct_keys_is_refused_with_its_line(text, said):
    with pytest.raises(TokzooError) as error:
        tree(text)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_key_given_twice_in_an_override_is_refused():
    with pytest.raises(TokzooError, match="'use' is given twice"):
        parse_override("quantizer={use: vq, use: fsq}")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(TokzooError, match=r"none.yaml: cannot be read \(No such file"):
        Tree.from_file(tmp_path / "none.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(TokzooError, match=r"image.yaml: not a text file"):
        Tree.from_file(tmp_path / "image.yaml")
    (tmp_path / "large.yaml").write_text("a: 1\n" * 2**19)
    with pytest.raises(TokzooError, match=r"large.yaml: larger than 1,048,576 bytes"):
        Tree.from_file(tmp_path / "large.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(TokzooError, match=r"pipe.yaml: cannot be read \(it is a named pipe, not a file\)"):
        Tree.from_file(tmp_path / "pipe.yaml")


def test_merging_keeps_what_is_not_said_again():
    below, above = tree(BASE), Tree.from_text("quantizer: {codes: 128}\ntrain: {lr: 2}\n", "top.yaml")
    below.merge(above)
    assert below.data["quantizer"] == {"use": "vq", "codes": 128, "revive": {"decay": 0.9}}
    assert below.origins["quantizer", "codes"] == "top.yaml:1"
    assert below.origins["quantizer", "use"] == "mine.yaml:3"
    assert below.data["train"] == {"lr": 2}


@pytest.mark.parametrize("swap", ["quantizer.use=fsq", "quantizer=fsq", "quantizer={use: fsq}"])
def test_another_component_drops_the_fields_of_the_former(swap):
    made = overridden(swap)
    assert made.data["quantizer"] == {"use": "fsq"}
    assert made.origins["quantizer", "use"] == "command line"
    assert ("quantizer", "codes") not in made.origins
    assert ("quantizer", "revive", "decay") not in made.origins


@pytest.mark.parametrize("swap", ["quantizer.use=fsq", "quantizer=fsq"])
@pytest.mark.parametrize("first", [True, False])
def test_the_order_of_overrides_does_not_matter(swap, first):
    levels = "quantizer.levels=[5, 5]"
    texts = [swap, levels] if first else [levels, swap]
    assert overridden(*texts).data["quantizer"] == {"use": "fsq", "levels": [5, 5]}


def test_the_order_does_not_matter_inside_a_component_either():
    base = "r: {a: {use: semantic, teacher: {use: dino, model: x}}}"
    for texts in (["r.a.teacher.size=l", "r.a.teacher.use=clip"], ["r.a.teacher=clip", "r.a.teacher.size=l"]):
        assert overridden(*texts, base=base).data["r"]["a"]["teacher"] == {"use": "clip", "size": "l"}


@pytest.mark.parametrize("same", ["quantizer.use=vq", "quantizer=vq", "quantizer={use: vq}"])
def test_the_same_component_keeps_its_fields(same):
    made = overridden(same)
    assert made.data["quantizer"] == tree(BASE).data["quantizer"]
    assert made.origins["quantizer", "codes"] == "mine.yaml:4"


def test_null_removes_and_a_new_role_may_be_a_bare_name():
    made = overridden("regularizers.entropy=null", "regularizers.mine=l2")
    assert made.data["regularizers"] == {"entropy": None, "mine": "l2"}
    assert made.origins["regularizers", "mine"] == "command line"


def test_a_field_may_be_given_to_a_component_written_as_a_bare_name():
    made = overridden("quantizer.codes=128", base="quantizer: vq\n")
    assert made.data["quantizer"] == {"use": "vq", "codes": 128}
    assert made.origin(("quantizer", "use")) == "mine.yaml:1"


@pytest.mark.parametrize(
    "texts",
    [
        ["quantizer.codes=1", "quantizer.codes=2"],
        ["quantizer.codes=1", "quantizer.codes=1"],
        ["quantizer=fsq", "quantizer.use=vq"],
        ["quantizer.use=vq", "quantizer={use: fsq, levels: [5]}"],
    ],
)
def test_a_thing_given_twice_is_refused(texts):
    with pytest.raises(TokzooError, match="given twice"):
        overridden(*texts)


def test_one_component_named_in_two_ways_is_no_contradiction():
    assert overridden("quantizer=fsq", "quantizer.use=fsq").data["quantizer"] == {"use": "fsq"}


def test_overrides_do_not_change_the_lists_they_are_made_of():
    given = {"levels": [5, 5]}
    made = Tree.from_data({"quantizer": given}, "here")
    apply_overrides(made, [(("quantizer", "levels"), [7])])
    assert given == {"levels": [5, 5]}
    assert made.data["quantizer"]["levels"] == [7]
