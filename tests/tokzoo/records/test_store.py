import json

import pytest

from tokzoo.records.schema import check_record, stored_id
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
    assert told["cut.json"] == told["binary.json"] == "not JSON"
    assert told["folder.json"] == "Is a directory"
    assert told["future.json"].startswith("schema 'tokzoo.record/9'")
    assert told["nan.json"].endswith("not finite")
    assert told["copy.json"] == f"holds record {data['id']}, which belongs in {data['id']}.json"
    assert told[f"{data['id']}.json"].endswith("it was changed")


def test_a_record_that_cannot_be_written_leaves_nothing(store, record, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.add(record())
    assert list(store.folder.iterdir()) == []
