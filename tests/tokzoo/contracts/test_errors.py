import pytest

from tokzoo.contracts.errors import LONGEST_MESSAGE, ONE_LINE, Refusal, describe, suggest


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("codez", ["codes", "dim"], "did you mean 'codes'?"),
        ("fsq", ["someone/fsq", "vq"], "did you mean 'someone/fsq'?"),
        ("fashion", ["fashion-nano@1"], "did you mean 'fashion-nano@1'?"),
        ("zebra", ["vq", "fsq"], "known: fsq, vq"),
        ("", ["vq"], "known: vq"),
        ("zebra", [], "none is known"),
    ],
)
def test_the_nearest_name_is_suggested_or_all_are_listed(name, known, said):
    assert suggest(name, known) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refusal("wants a sequence"), "wants a sequence"),
        (Refusal("x " * 400 + "which is mended so"), "x " * 400 + "which is mended so"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (KeyError(), "KeyError: no message"),
        (RuntimeError("x" * 999), f"RuntimeError: {'x' * ONE_LINE}…"),
        (Refusal("x" * 99_999), f"{'x' * LONGEST_MESSAGE}…"),
    ],
)
def test_an_error_is_told_in_one_line(error, said):
    assert describe(error) == said
