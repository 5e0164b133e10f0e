"""The conformance kit passes sketches that no other test here gives to it."""

import pytest

SKETCHES = [
    ("eq", "decoder", "strain/conv"),
    ("nested_dropout", "decoder", "strain/ordered"),
    ("nested_dropout", "regularizer", "strain/nested"),
    ("tied", "encoder", "strain/tied"),
    ("tied", "decoder", "strain/tied"),
    ("vf", "regularizer", "strain/vf"),
    ("vit", "encoder", "strain/vit"),
]


@pytest.mark.parametrize(("sketch", "kind", "name"), SKETCHES)
def test_it_keeps_to_the_kit(lab, sketch, kind, name):
    assert not lab(sketch).conformance(kind, name)
