import subprocess
import sys

import pytest

from tokzoo.recipes.hashing import canonical, content_hash


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does():
    assert canonical({"b": [1, {"d": 2, "c": 3}], "a": "ä"}) == '{"a":"ä","b":[1,{"c":3,"d":2}]}'
    assert content_hash({"a": 1, "b": {"c": 2, "d": 3}}) == content_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1])
    assert content_hash((1, 2)) == content_hash([1, 2])


@pytest.mark.parametrize("values", [(1, 2), (None, 0), (0.1, 0.2), ("1", 1), ([], {}), (True, "true")])
def test_different_values_have_different_hashes(values):
    first, second = values
    assert content_hash({"a": first}) != content_hash({"a": second})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_cannot_hold_is_refused(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash({"a": [number]})


def test_a_hash_is_the_same_everywhere():
    value = {"name": "vq – 1", "betas": [0.9, 0.95], "lr": 1e-4, "none": None}
    assert content_hash(value) == "9329becd7b511b8c"
    script = f"from tokzoo.recipes.hashing import content_hash; print(content_hash({value!r}))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == content_hash(value)
    assert content_hash(value, 8) == content_hash(value)[:8]
