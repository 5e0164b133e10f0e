import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tokzoo.contracts.errors import TokzooError
from tokzoo.data import files
from tokzoo.data.files import (
    file_hash,
    new_folder,
    open_file,
    read_json,
    reading,
    temporary_beside,
    write_atomic,
    write_json,
    writing,
)


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


def killed_while_writing(path):
    """The temporary file that a process leaves which dies while it writes."""
    code = (
        "import os, sys, pathlib; from tokzoo.data.files import write_atomic\n"
        "def write(temporary): temporary.write_text('half'); os._exit(9)\n"
        "write_atomic(pathlib.Path(sys.argv[1]), write)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    (left,) = path.parent.glob(".*.tmp")
    return left


def test_what_dead_writers_left_is_removed_and_what_others_write_is_kept(tmp_path):
    path = tmp_path / "x.json"
    left = killed_while_writing(path)
    folder = temporary_beside(tmp_path / "pictures").with_name(left.name.replace("x.json", "pictures"))
    (folder / "inside").mkdir(parents=True)
    writing_now = temporary_beside(path)
    other_host = left.with_name(left.name.replace(files._here(), "0123abcd"))
    forgotten = left.with_name(other_host.name.replace("x.json", "y.json"))
    ours = tmp_path / ".notes.tmp"
    for each in (writing_now, other_host, forgotten, ours):
        each.touch()
    os.utime(forgotten, (time.time() - 2 * files.FORGOTTEN_SECONDS,) * 2)
    files._remove_dead.cache_clear()
    write_json(path, 1)
    assert sorted(tmp_path.iterdir()) == sorted([path, writing_now, other_host, ours])


def test_no_two_writers_share_a_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    first = temporary_beside(path)
    assert temporary_beside(path) != first
    files._here.cache_clear()
    monkeypatch.setattr(files.platform, "node", lambda: "another")
    assert temporary_beside(path).name.split("-")[0] != first.name.split("-")[0]
    files._here.cache_clear()


@pytest.mark.parametrize("name", [".", "new", "a/b/", "../beside"])
def test_a_new_folder_is_there_once_it_is_whole(tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    place = Path(os.path.abspath(name))
    with new_folder(Path(name)) as unfinished:
        (unfinished / "inside").write_text("whole")
        assert not place.exists() or not list(place.iterdir())
    assert (place / "inside").read_text() == "whole"
    assert not list(place.parent.glob(".*"))
    with pytest.raises(TokzooError, match="there is something there already"), new_folder(place):
        pass
    assert (place / "inside").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_nothing_is_left_of_a_folder_that_fails(tmp_path, error):
    def fill(folder, *failures):
        with new_folder(folder, *failures) as unfinished:
            (unfinished / "inside").write_text("half")
            raise error("why")

    with pytest.raises(TokzooError if error is OSError else error):
        fill(tmp_path / "new")
    if error is ValueError:
        with pytest.raises(TokzooError, match=r"new: cannot be written \(why\)"):
            fill(tmp_path / "new", ValueError)
    assert not list(tmp_path.iterdir())


def test_a_name_as_long_as_names_may_be_is_written(tmp_path):
    path = tmp_path / ("ä" * 125 + ".json")
    write_json(path, 1)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, why in (
        (tmp_path / "pipe", "it is a named pipe, not a file"),
        ("/dev/zero", "it is a device, not a file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "loop", "levels of symbolic links"),
        (tmp_path / "none", "No such file or directory"),
    ):
        with pytest.raises(TokzooError, match=rf"{path}: cannot be read \(.*{why}"), reading(path):
            open_file(path)


def test_files_that_are_not_what_they_ought_to_be_are_told(tmp_path):
    path = tmp_path / "x.json"
    for content, said in (
        (b"{", "not a list (Expecting property name"),
        (b"[" * 10**5, "not a list (nested too deeply: line 1 column 1 (char 0)); write it anew"),
        (b"9" * 5000, "not a list (Exceeds the limit (4300 digits) for integer"),
        (b"\xff", "not a text file (invalid start byte at byte 0)"),
    ):
        path.write_bytes(content)
        with pytest.raises(TokzooError) as error, reading(path, "a list", ValueError, mend="write it anew"):
            read_json(path)
        assert str(error.value).startswith(f"{path}: {said}")


def test_what_cannot_be_written_is_told(tmp_path):
    said = r"^/dev/full: cannot be written \(No space left on device\); make room$"
    with pytest.raises(TokzooError, match=said), writing("/dev/full", mend="make room"), open("/dev/full", "w") as file:
        file.write("x")
