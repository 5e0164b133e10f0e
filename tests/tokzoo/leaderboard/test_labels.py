"""A recipe's name says what was changed in it; where two rows would have one name, their hashes tell them apart."""

from tokzoo.leaderboard.labels import labels
from tokzoo.records.schema import Named


def told(*recipes):
    return labels([Named(name=name, hash=digest, content={}) for name, digest in recipes])


def test_a_name_of_its_own_stands_alone():
    assert told(("mine", "0" * 16), ("mine quantizer=fsq", "1" * 16)) == ["mine", "mine quantizer=fsq"]
    assert labels([]) == []


def test_names_that_are_alike_have_their_hashes():
    assert told(("mine", "0" * 16), ("other", "2" * 16), ("mine", "1" * 16)) == [
        "mine (00000000)",
        "other",
        "mine (11111111)",
    ]


def test_no_two_labels_are_alike():
    assert told(("mine", "0" * 16), ("mine", "0" * 8 + "1" * 8)) == [f"mine ({'0' * 16})", f"mine ({'0' * 8}{'1' * 8})"]
