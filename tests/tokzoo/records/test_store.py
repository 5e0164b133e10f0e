import contextlib
import json

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.records.schema import Failure, check_record, stored_id
from tokzoo.records.store import RecordStore


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "records")


def test_records_are_files_named_by_their_ids(store, record):
    paths = [store.add(record(seed=seed)) for seed in range(3)]
    assert sorted(store.folder.iterdir()) == sorted(paths)
    records, problems = store.read()
    assert problems == []
    assert [record.id for record in records] == sorted(path.stem for path in paths)
    assert {record.seed for record in records} == {0, 1, 2}


def test_adding_a_record_again_changes_nothing(store, record):
    path = store.add(record())
    before = path.read_bytes()
    assert store.add(record(observed={"seconds": 99})) == path
    assert path.read_bytes() == before
    assert list(store.folder.iterdir()) == [path]


def test_a_record_that_was_read_is_copied_as_it_stands(store, tmp_path, data):
    """Written again by a version with more fields, it would have another id."""
    del data["failure"]
    data["id"] = stored_id(data)
    store.add(check_record(data, "old"))
    (read,), problems = store.read()
    assert problems == []
    assert read.stored == data


def test_no_folder_is_no_records(store):
    assert store.read() == ([], [])


def test_each_file_that_is_no_record_is_told_and_the_others_are_read(store, record, data):
    store.add(record(seed=7))
    (store.folder / "cut.json").write_text(json.dumps(data)[:-20])
    (store.folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (store.folder / "folder.json").mkdir()
    (store.folder / "future.json").write_text(json.dumps({**data, "schema": "tokzoo.record/9"}))
    (store.folder / "nan.json").write_text(json.dumps({**data, "stages": {"a": "b"}, "versions": {"x": float("nan")}}))
    (store.folder / "copy.json").write_text(json.dumps(data))
    data["metrics"]["reconstruction.psnr"]["value"] = 99.0
    (store.folder / f"{data['id']}.json").write_text(json.dumps(data))
    records, problems = store.read()
    assert [record.seed for record in records] == [7]
    told = dict(problem.split(": ", 1) for problem in problems)
    assert told["cut.json"].startswith("not JSON (Unterminated string")
    assert told["binary.json"].startswith("not a text file")
    assert told["folder.json"] == "cannot be read (Is a directory)"
    assert told["future.json"].startswith("schema 'tokzoo.record/9'")
    assert told["nan.json"].endswith("not finite")
    assert told["copy.json"] == f"holds record {data['id']}, which belongs in {data['id']}.json"
    assert told[f"{data['id']}.json"].endswith("it was changed")


def test_a_record_that_cannot_be_written_leaves_nothing(store, record, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.add(record())
    assert list(store.folder.iterdir()) == []


def _deep(levels):
    return json.loads('{"a":' * levels + "1" + "}" * levels)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda data: data["recipe"].update(name="\ud800"), "recipe.name: Input should be a valid string"),
        (lambda data: data["recipe"]["content"].update(x="\ud800"), "it holds half of a surrogate pair"),
        (lambda data: data["recipe"].update(name="a\x1b[31m"), "recipe.name: String should be visible characters"),
        (lambda data: data["track"].update(name="a\u202eb"), "track.name: String should be visible characters"),
        (lambda data: data["recipe"].update(name="n" * 10_000_000), "recipe.name: String should have at most 500"),
        (lambda data: data["recipe"].update(content=_deep(400)), "recipe: nested too deeply"),
        (lambda data: data.update(observed=_deep(400)), "observed: nested too deeply"),
        (lambda data: data.update(seed=10**30), "seed: Input should be less than 9223372036854775808"),
        (lambda data: data["track"]["content"].update(columns=5), "track.columns: Input should be a valid list"),
        (lambda data: data["track"]["content"].update(main=["x"]), "track.main: Input should be a valid string"),
        (lambda data: data["track"]["content"].update(seeds="3"), "track.seeds: Input should be a valid integer"),
        (lambda data: data["shapes"].update(bits_per_image="many"), "shapes.bits_per_image: Input should be a valid"),
        (lambda data: data.update(observed={"metrics": {"cost.x": "1"}}), "observed.metrics.cost.x: Input should be"),
        (lambda data: data.update(observed={"stages": [1]}), "observed.stages: Input should be a valid dict"),
        (lambda data: data.update(observed={"stages": {"ar": {"seconds": [1]}}}), "observed.stages.ar.seconds: Input"),
        (lambda data: data.update(stages={"tokenizer": "../../elsewhere"}), "stages.tokenizer: String should match"),
        (lambda data: data.update({"a\x1b[31m": 1}), "a\\x1b[31m: Extra inputs are not permitted"),
    ],
)
def test_a_hostile_record_is_left_out_with_one_line(store, record, data, tamper, said):
    store.add(record(seed=7))
    tamper(data)
    with contextlib.suppress(UnicodeEncodeError):
        data["id"] = stored_id(data)
    (store.folder / "bad.json").write_text(json.dumps(data))
    records, (problem,) = store.read()
    assert [record.seed for record in records] == [7]
    assert problem.startswith(f"bad.json: not a valid record: {said}")
    assert problem.isprintable()
    assert len(problem) < 400


def test_a_hostile_file_is_left_out_with_one_line(store, record, monkeypatch):
    store.add(record(seed=7))
    monkeypatch.setattr("tokzoo.data.files.LARGEST_JSON", 2**20)
    (store.folder / "digits.json").write_text(f'{{"schema": {"9" * 5000}}}')
    (store.folder / "deep.json").write_text("[" * 100_000)
    (store.folder / "large.json").write_text(" " * 2**21)
    (store.folder / "esc\x1b[31m.json").write_text("[]")
    (store.folder / "none.json").symlink_to("nowhere")
    records, problems = store.read()
    assert [record.seed for record in records] == [7]
    assert [problem.partition(" (")[0] for problem in problems] == [
        "deep.json: not JSON",
        "digits.json: not JSON",
        "esc\\x1b[31m.json: schema None; this version of tokzoo reads tokzoo.record/1",
        "large.json: larger than 1,048,576 bytes, the most that is read of such a file",
        "none.json: cannot be read",
    ]


def test_what_records_have_in_common_is_kept_once(store, record):
    for seed in range(2):
        store.add(record(seed=seed))
    (first, second), _ = store.read()
    assert first.recipe is second.recipe
    assert first.protocols is second.protocols


def test_a_record_whose_file_was_changed_since_is_not_passed_on(store, record, data):
    path = store.add(record())
    (read,), _ = store.read()
    data["seed"] = 5
    path.write_text(json.dumps(data))
    with pytest.raises(TokzooError, match="it was changed while it was in use"):
        _ = read.stored


def test_a_message_of_control_characters_is_kept_readable(store, record):
    store.add(
        record(status="failed", metrics={}, failure=Failure(stage="ar", message="a\x1b[31m\ud800" + "b" * 99_999))
    )
    (read,), problems = store.read()
    assert problems == []
    assert read.failure.message.startswith("a\\x1b[31m\\ud800bbb")
    assert len(read.failure.message) < 11_000
