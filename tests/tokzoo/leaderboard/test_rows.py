"""What a table says: seeds together, evidence, ties, failures, and nothing that does not compare side by side."""

import pytest
import scipy.stats

from tokzoo.leaderboard.rows import build_tables
from tokzoo.records.schema import Named

PSNR, USAGE = "reconstruction.psnr", "codes.usage"


def table(*groups):
    (built,) = build_tables([record for group in groups for record in group])
    return built


def ranks(built):
    return {row.recipe: row.rank for row in built.rows}


def test_seeds_of_a_recipe_are_one_row(seeds):
    built = table(seeds(20.0, 21.0, 22.5, name="a"), seeds(10.0, name="b"))
    first, second = built.rows
    assert (first.recipe, first.seeds, second.seeds) == ("a", (0, 1, 2), (0,))
    found = first.estimates[PSNR, "p"]
    low, high = scipy.stats.t.interval(0.95, 2, loc=found.mean, scale=scipy.stats.sem([20.0, 21.0, 22.5]))
    assert (found.mean, found.n) == (pytest.approx(63.5 / 3), 3)
    assert found.half_width == pytest.approx((high - low) / 2)
    assert second.estimates[PSNR, "p"].half_width is None
    assert first.bits_per_image == 160.0


def test_a_table_for_each_track_and_its_version(record):
    other = Named(name="toy@1", hash="other", content={"main": PSNR, "columns": []})
    built = build_tables([record(1.0), record(2.0, track={}), record(3.0, seed=1).model_copy(update={"track": other})])
    assert [(found.track, found.track_hash, len(found.rows)) for found in built] == [
        ("toy@1", "other", 1),
        ("toy@1", "t" * 16, 1),
    ]
    assert build_tables([]) == []


@pytest.mark.parametrize(("better", "order"), [("higher", ["c", "b", "a"]), ("lower", ["a", "b", "c"])])
def test_the_best_row_comes_first(seeds, better, order):
    groups = [seeds(*(start + step for step in (0, 0.1, 0.2)), name=name, better=better)
              for name, start in [("b", 20), ("a", 10), ("c", 30)]]  # fmt: skip
    built = table(*groups)
    assert [row.recipe for row in built.rows] == order
    assert [row.rank for row in built.rows] == [(1, 1), (2, 2), (3, 3)]


def test_rows_within_noise_are_a_tie(seeds):
    built = table(seeds(20.0, 21.0, 22.0, name="a"), seeds(20.2, 21.1, 21.9, name="b"), seeds(5.0, 5.1, 5.2, name="c"))
    assert ranks(built) == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}


def test_a_row_of_one_seed_is_sorted_and_takes_no_rank(seeds):
    built = table(seeds(20.0, 20.1, 20.2, name="a"), seeds(15.0, name="lone"), seeds(10.0, 10.1, 10.2, name="b"))
    assert [row.recipe for row in built.rows] == ["a", "lone", "b"]
    assert ranks(built) == {"a": (1, 1), "lone": None, "b": (2, 2)}


def test_a_metric_without_a_better_ranks_nothing(seeds):
    built = table(seeds(1.0, 1.1, name="a", better=None), seeds(9.0, 9.1, name="b", better=None))
    assert ranks(built) == {"a": None, "b": None}


def test_numbers_of_different_protocols_never_share_a_column(seeds):
    built = table(
        seeds(20.0, 20.1, name="a"), seeds(20.4, 20.5, name="b"), seeds(90.0, 90.1, name="inflated", protocol="q")
    )
    first, second = [column for column in built.columns if column.key[0] == PSNR]
    assert {first.key, second.key} == {(PSNR, "p"), (PSNR, "q")}
    assert (first.mark, second.mark) == ("", "†")
    assert ranks(built) == {"b": (1, 1), "a": (2, 2), "inflated": None}
    assert built.rows[-1].recipe == "inflated"
    assert built.rows[-1].estimates.keys() == {(PSNR, "q"), ("codes.usage", "u")}
    assert built.ranked is first


def test_one_recipe_under_two_protocols_is_two_numbers(record):
    built = table([record(20.0, seed=0), record(90.0, seed=1, protocol="q")])
    (row,) = built.rows
    assert row.estimates[PSNR, "p"].mean == 20.0
    assert row.estimates[PSNR, "q"].mean == 90.0
    assert row.rank is None


def test_columns_of_the_track_come_first_and_are_shown(record):
    def columns(**track):
        return [(column.key[0], column.shown) for column in table([record(1.0, track=track)]).columns]

    assert columns() == [(PSNR, True), (USAGE, True)]
    assert columns(columns=[USAGE, "ar.loss"]) == [(USAGE, True), (PSNR, False)]
    assert columns(columns=[]) == [(PSNR, True), (USAGE, False)]


def test_failed_cells_are_shown(seeds, record):
    built = table(seeds(20.0, 21.0, name="a"), [record(name="a", seed=2), record(name="broken")])
    first, broken = built.rows
    assert first.seeds == (0, 1)
    assert first.failures == ["a, seed 2: failed in tokenizer: no such luck"]
    assert (broken.recipe, broken.seeds, broken.rank, broken.estimates) == ("broken", (), None, {})
    assert broken.failures == ["broken, seed 0: failed in tokenizer: no such luck"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_failure_is_history_once_the_cell_succeeded(record, order):
    built = table([record(seed=0), record(20.0, seed=0), record(seed=1)][::order])
    (row,) = built.rows
    assert row.seeds == (0,)
    assert [failure.partition(":")[0] for failure in row.failures] == ["mine, seed 1"]


def test_two_records_of_one_cell_count_once(record):
    built = table([record(20.0), record(20.0, execution={"tokenizer": {"threads": 2}}), record(21.0, seed=1)])
    assert built.rows[0].estimates[PSNR, "p"].n == 2
    assert built.rows[0].disputes == []


def test_records_of_one_cell_that_disagree_are_told(record):
    pair = [record(20.0), record(23.0, execution={"tokenizer": {"device": "other"}})]
    for records in (pair, pair[::-1]):
        built = table(records)
        (row,) = built.rows
        shown = max(pair, key=lambda found: found.id)
        assert row.estimates[PSNR, "p"].mean == shown.metrics[PSNR].value
        assert row.disputes == [
            f"mine, seed 0: 2 records do not agree (another machine or version); record {shown.id} is shown."
        ]


@pytest.mark.parametrize(
    ("origins", "wanted", "evidence"),
    [
        (["measured"], 3, "measured"),
        (["measured"] * 2, 1, "measured"),
        (["measured"] * 3, 1, "replicated"),
        (["measured"] * 3, 3, "replicated"),
        (["measured"] * 4, 5, "measured"),
        (["measured"] * 5, 5, "replicated"),
        (["imported"], 3, "imported"),
        (["imported"] * 3, 3, "imported"),
        (["measured", "measured", "imported"], 3, "imported"),
        (["measured", "imported", "claimed"], 3, "claimed"),
    ],
)
def test_evidence_is_that_of_the_weakest_record(record, origins, wanted, evidence):
    records = [
        record(20.0 + seed, seed=seed, origin=origin, track={"seeds": wanted}) for seed, origin in enumerate(origins)
    ]
    assert table(records).rows[0].evidence == evidence


def test_a_failed_seed_does_not_replicate(seeds, record):
    built = table([*seeds(20.0, 21.0), record(seed=2)])
    assert built.rows[0].evidence == "measured"


def test_recipes_of_one_name_are_told_apart(record):
    records = [record(20.0, recipe={"codes": 64}), record(21.0, recipe={"codes": 128}), record(1.0, name="other")]
    built = table(records)
    hashes = {record.recipe.name: [] for record in records}
    for each in records:
        hashes[each.recipe.name].append(each.recipe.hash)
    first, second = hashes["mine"]
    assert [row.recipe for row in built.rows] == [f"mine ({second})", f"mine ({first})", "other"]


def test_one_recipe_of_several_names_is_a_row_by_the_shortest(record):
    named = record(20.0).recipe
    longer = record(21.0, seed=1, recipe=None)
    both = [record(20.0), longer.model_copy(update={"recipe": named.model_copy(update={"name": "mine quantizer=vq"})})]
    for records in (both, both[::-1]):
        (row,) = table(records).rows
        assert (row.recipe, row.seeds) == ("mine", (0, 1))
