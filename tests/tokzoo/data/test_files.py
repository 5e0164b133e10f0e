import hashlib
import json

import pytest

from tokzoo.data.files import file_hash, read_json, write_atomic, write_json


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    write_json(path, {"b": [1, None], "a": "ä"})
    assert read_json(path) == {"b": [1, None], "a": "ä"}
    assert list(read_json(path)) == ["b", "a"]
    assert path.read_bytes().endswith(b"\n")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_raises_leaves_the_old_file_whole(tmp_path, error):
    path = tmp_path / "x.json"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomic(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("new")
        assert temporary.parent == path.parent
        assert path.read_text() == "old"

    write_atomic(path, write)
    assert path.read_text() == "new"


def test_what_json_cannot_hold_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text()) == 1


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)) * 1000)
    assert file_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()
