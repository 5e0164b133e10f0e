"""A metric's protocols have a column each, in a stable order, under marks whose legend says which is which."""

from dataclasses import replace

import pytest

from tokzoo.leaderboard.columns import find_columns, legend, mark_of

PSNR, LOSS = "reconstruction.psnr", "ar.loss"
TRACK = {"probe": {"ar": {"use": "gpt", "layers": 1, "width": 16}, "train": {"lr": 0.1}}}


@pytest.fixture
def probed(record):
    """A function that makes a record by a probe; ``brought``: what of it is the recipe's own."""

    def make(probe, brought=None, **changes):
        made = record(1.0, protocol=probe, recipe=brought, track=TRACK, probe=probe, **changes)
        loss = replace(made.metrics[PSNR], label="AR loss")
        about = {"metrics": {PSNR: made.metrics[PSNR], LOSS: loss}, "protocols": {probe: {"images": 9, "probe": probe}}}
        return made.model_copy(update=about)

    return make


def test_marks_say_which_probe_is_the_tracks_and_what_another_is(probed):
    deep = {"ar": {"use": "gpt", "layers": 2, "width": 16}, "train": {"ar": {"lr": 0.2}}}
    records = [probed("1" * 16, deep), probed("2" * 16), probed("0" * 16, {"ar": {"use": "mask", "layers": 3}})]
    for order in (records, records[::-1]):
        columns = find_columns(order, [PSNR, LOSS])
        assert [(column.key[1][0], column.mark) for column in columns] == [("2", ""), ("0", "†"), ("1", "‡")] * 2
        assert legend(columns) == [
            "† (PSNR, AR loss): mask of the recipe with layers 3 (00000000); without †: the track's gpt (22222222). "
            "Numbers of the two do not compare.",
            "‡ (PSNR, AR loss): gpt of the recipe with layers 2, train.lr 0.2 (11111111); without ‡: the track's gpt "
            "(22222222). Numbers of the two do not compare.",
        ]


def test_other_differences_are_told_by_their_fields(record):
    one, two = record(1.0, protocol="p"), record(2.0, protocol="q", seed=1)
    two = two.model_copy(update={"protocols": {"q": {"version": 2, "data": {"use": "x"}}, "u": {}}})
    (line,) = legend(find_columns([one, two], [PSNR]))
    assert line.startswith('† (PSNR): data {"use": "x"}; version 2; without †: data None; version None.')


def test_protocols_that_say_the_same_are_told_by_their_names(record):
    (line,) = legend(find_columns([record(1.0), record(2.0, protocol="q", seed=1)], [PSNR]))
    assert line.startswith("† (PSNR): protocol q; without †: protocol p.")


def test_content_that_is_nonsense_is_told_as_such(probed):
    nonsense = [{"ar": {"use": ["\x1b"]}}, {"ar": "gpt", "train": {"ar": 3}}, {"train": 7}]
    columns = find_columns([probed(f"{i}" * 16, brought) for i, brought in enumerate(nonsense)], [PSNR])
    assert "\x1b" not in "".join(legend(columns))


def test_there_are_as_many_marks_as_it_takes():
    assert [mark_of(number) for number in (0, 3, 4, 9)] == ["†", "¶", "††", "‡‡‡"]
