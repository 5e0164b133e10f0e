from tokzoo.leaderboard.labels import labels
from tokzoo.records.schema import Named


def told(*contents, name="mine"):
    return labels([Named(name=name, hash=f"{i}" * 16, content=content) for i, content in enumerate(contents)])


def test_a_name_of_its_own_stands_alone():
    assert told({"a": 1}) == ["mine"]
    assert labels([]) == []


def test_only_what_differs_is_said():
    first = {"name": "mine", "summary": "x", "quantizer": {"use": "vq", "codes": 64}, "train": {"lr": 0.1}}
    second = {"name": "mine", "summary": "y", "quantizer": {"use": "vq", "codes": 128}, "train": {"lr": 0.1}}
    assert told(first, second) == ["mine [quantizer.codes=64]", "mine [quantizer.codes=128]"]


def test_another_component_is_said_without_its_fields():
    first = {"quantizer": {"use": "vq", "codes": 64, "dim": 8, "l2": True, "warmup": 0}}
    second = {"quantizer": {"use": "fsq", "levels": [8, 8]}}
    assert told(first, second) == ["mine [quantizer.use=vq]", "mine [quantizer.use=fsq]"]


def test_what_one_has_and_another_lacks_is_a_difference():
    assert told({"regularizers": {}}, {"regularizers": {"entropy": {"use": "entropy", "weight": 0.1}}}) == [
        "mine [regularizers.entropy.use=–]",
        "mine [regularizers.entropy.use=entropy]",
    ]


def test_many_differences_are_a_hash():
    first, second = ({"train": {f"field{i}": value for i in range(5)}} for value in (0, 1))
    assert told(first, second) == ["mine (00000000)", "mine (11111111)"]


def test_labels_that_would_be_alike_are_hashes():
    recipes = [{"q": {"use": "vq", "codes": 1}}, {"q": {"use": "vq", "codes": 2}}, {"q": {"use": "fsq"}}]
    assert told(*recipes) == ["mine (00000000)", "mine (11111111)", "mine (22222222)"]
