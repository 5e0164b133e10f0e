"""Files of torch and safetensors: whatever is in them, tensors are read and nothing is run."""

import collections
import contextlib
import copyreg
import functools
import io
import os
import pickle
import sys
import tracemalloc
import types
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from tokzoo.assembly.checkpoint_file import CheckpointFile, StoredTensor
from tokzoo.assembly.unpickle import GLOBALS
from tokzoo.contracts.errors import TokzooError

OLD = {"_use_new_zipfile_serialization": False}


def opened(content, path, **options):
    torch.save(content, path, **options)
    return CheckpointFile.open(path)


def tensors_of(file, place=""):
    return {key: leaf.read() for key, leaf in file.section(place).items() if isinstance(leaf, StoredTensor)}


def same(found, expected):
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key].float(), tensor.detach().float())


@pytest.fixture
def state():
    whole = torch.randn(6, 4)
    return collections.OrderedDict(
        part=whole[1:5, 2:],
        turned=whole.T,
        spread=torch.randn(3, 1).expand(3, 5),
        scalar=torch.tensor(7),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(2)),
        truths=torch.tensor([True, False]),
        **{name: torch.arange(5).to(getattr(torch, name)) for name in ("bfloat16", "float16", "int8", "float64")},
    )


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "old"])
def test_every_kind_of_tensor_is_read_as_torch_reads_it(options, state, tmp_path):
    if not options:
        state["short"] = torch.arange(5.0).to(torch.float8_e4m3fn)
        state["wide"] = torch.arange(3).to(torch.uint16)
    file = opened({"model": state, "steps": 3}, tmp_path / "file.pt", **options)
    same(tensors_of(file, "model"), state)
    assert not file.bare
    assert file.others(["model"]) == ("steps",)


def test_a_file_that_was_moved_and_padded_is_read(state, tmp_path):
    """Records may lie anywhere: a stray byte before the archive moves them all."""
    torch.save(state, tmp_path / "file.pt")
    (tmp_path / "moved.pt").write_bytes(b"x" + (tmp_path / "file.pt").read_bytes())
    same(tensors_of(CheckpointFile.open(tmp_path / "moved.pt")), state)


def test_safetensors(tmp_path):
    state = {"a.b": torch.randn(3), "a.c": torch.arange(3)}
    save_file(state, tmp_path / "file.safetensors")
    file = CheckpointFile.open(tmp_path / "file.safetensors")
    assert file.bare
    same(tensors_of(file), state)


def test_sections_are_parts_or_beginnings_of_names(tmp_path):
    a, b = torch.ones(1), torch.zeros(1)
    nested = {"state_dict": {"model": {"x": a}, "loss": {"x": b}}, "optimizer": {"state": {0: {"step": 1}}}}
    flat = {"state_dict": {"model.x": a, "loss.x": b}, "optimizer": {"state": {0: {"step": 1}}}}
    for content in (nested, flat):
        file = opened(content, tmp_path / "file.pt")
        same(tensors_of(file, "state_dict.model"), {"x": a})
        assert file.others(["state_dict.model"]) == ("state_dict.loss", "optimizer")


def test_wrappers_are_taken_off_unless_two_names_become_one(tmp_path):
    one, two = torch.zeros(1), torch.ones(1)
    file = opened({"module._orig_mod.x": one, "y._fsdp_wrapped_module.z": two}, tmp_path / "file.pt")
    same(tensors_of(file), {"x": one, "y.z": two})
    file = opened({"x": one, "module.x": two}, tmp_path / "file.pt")
    with pytest.raises(TokzooError, match=r"ambiguous: 'x' and 'module\.x' both are x"):
        file.section("")


def foreign_class(name):
    """A class of a package that will not be there when the file is read."""
    module = types.ModuleType("somebodys_framework")
    made = type(name, (), {"__module__": module.__name__, "__qualname__": name})
    setattr(module, name, made)
    return module, made


def test_a_training_frameworks_objects_are_passed_over(monkeypatch, tmp_path):
    """As in Lightning's files: configs, callbacks, partial functions, default dictionaries, sets."""
    module, made = foreign_class("DictConfig")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    config = made()
    config.content = {"lr": 1e-4}
    content = {
        "state_dict": {"encoder.weight": torch.ones(2)},
        "hyper_parameters": config,
        "callbacks": {made: functools.partial(print, "x")},
        "others": [collections.defaultdict(list, a=[1]), {1, 2}, collections.deque([config])],
        "dtype": torch.float32,
    }
    for options in ({}, OLD):
        torch.save(content, tmp_path / "file.ckpt", **options)
        monkeypatch.delitem(sys.modules, module.__name__)
        file = CheckpointFile.open(tmp_path / "file.ckpt")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        same(tensors_of(file, "state_dict"), {"encoder.weight": torch.ones(2)})
        assert file.leaves["hyper_parameters"].origin == "somebodys_framework.DictConfig"


# Files that would do harm


class Reduced:
    def __init__(self, function, *arguments, state=None):
        self.how = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.how


def harmful(path):
    """Objects that make a folder when ``pickle.load`` reads them."""
    make = f"__import__('os').mkdir({str(path)!r})"
    return {
        "a function": Reduced(os.mkdir, str(path)),
        "eval": Reduced(eval, make),
        "exec": Reduced(exec, make),
        "getattr of an import": Reduced(Reduced(getattr, Reduced(__import__, "os"), "mkdir"), str(path)),
        "partial": Reduced(Reduced(functools.partial, os.mkdir, str(path))),
        "copyreg": Reduced(copyreg._reconstructor, Reduced(eval, make), object, None),
        "a state": Reduced(collections.OrderedDict, state={"x": Reduced(os.mkdir, str(path))}),
        "a tensor's arguments": Reduced(torch._utils._rebuild_tensor_v2, Reduced(os.mkdir, str(path)), 0, (), (), 0, 0),
        "a tensor of a type": Reduced(torch._tensor._rebuild_from_type_v2, os.mkdir, torch.Tensor, (str(path),), None),
        "torch's own pickles": Reduced(torch.storage._load_from_bytes, pickle.dumps(Reduced(os.mkdir, str(path)))),
    }


def write_archive(path, pickled):
    """A file as torch writes one, of a pickle and one record of four numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3")
        archive.writestr("archive/data/0", bytes(16))


class HostilePickler(pickle._Pickler):
    """Calls whatever it is told to: in the place of a function, the result of another call."""

    def save_reduce(self, func, args, state=None, *rest, obj=None):
        self.save(func)
        self.save(args)
        self.write(pickle.REDUCE)
        if state is not None:
            self.save(state)
            self.write(pickle.BUILD)


def pickled(value):
    buffer = io.BytesIO()
    HostilePickler(buffer, 2).dump(value)
    return buffer.getvalue()


@pytest.mark.parametrize("how", harmful("x"))
def test_nothing_in_a_file_is_run(how, tmp_path):
    target = tmp_path / "owned"
    with_harm = pickled({"model": harmful(target)[how]})
    with contextlib.suppress(Exception):  # once the folder is there, what was made may be no tensor
        pickle.loads(with_harm)
    assert target.exists(), "harmless, so that the test shows nothing"
    target.rmdir()
    write_archive(tmp_path / "file.pt", with_harm)
    (tmp_path / "raw.pt").write_bytes(with_harm)
    for name in ("file.pt", "raw.pt"):
        with contextlib.suppress(TokzooError):
            CheckpointFile.open(tmp_path / name)
    assert not target.exists()


def program(*lines):
    """A pickle of a dictionary whose ``x`` is what a program leaves on the stack."""
    return b"\x80\x02}X\x01\x00\x00\x00x" + b"".join(lines) + b"s."


def storage(numbers, kind=b"FloatStorage"):
    return (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + kind
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
        + (numbers.to_bytes(4, "little", signed=True) + b"tQ")
    )


def tensor(numbers, offset, shape, stride, kind=b"FloatStorage"):
    def tuple_of(values):
        return b"(" + b"".join(b"J" + value.to_bytes(4, "little", signed=True) for value in values) + b"t"

    place = b"J" + offset.to_bytes(4, "little", signed=True)
    rest = tuple_of(shape) + tuple_of(stride) + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(numbers, kind) + place + rest + b"tR"


@pytest.mark.parametrize(
    "wrong",
    [
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, -1, (2,), (1,)),
        (4, 0, (2, 2), (3, 2)),
        (4, 3, (2,), (-1,)),
        (4, 0, (-1,), (1,)),
        (4, 0, (2,), (1, 1)),
    ],
    ids=str,
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(wrong, tmp_path):
    write_archive(tmp_path / "file.pt", program(tensor(*wrong)))
    with pytest.raises(TokzooError, match=r"refused: a tensor in it"):
        CheckpointFile.open(tmp_path / "file.pt")


def test_a_storage_that_reaches_out_of_its_record_is_refused(tmp_path):
    write_archive(tmp_path / "file.pt", program(tensor(4, 0, (2, 2), (2, 1))))
    assert torch.equal(CheckpointFile.open(tmp_path / "file.pt").leaves["x"].read(), torch.zeros(2, 2))
    write_archive(tmp_path / "file.pt", program(tensor(5, 0, (5,), (1,))))
    with pytest.raises(TokzooError, match="its storage 0 is cut off: 16 of 20 bytes"):
        CheckpointFile.open(tmp_path / "file.pt").leaves["x"].read()


@pytest.mark.parametrize(
    "lines",
    [
        (tensor(4, 0, (4,), (1,)), b"}X\x06\x00\x00\x00offsetK\x09sb"),  # a state for a tensor
        (b"ctorch._utils\n_rebuild_tensor_v2\n", b"N}X\x08\x00\x00\x00functionK\x09s\x86b"),  # and for a function
        (b"ccollections\nOrderedDict\n", b"}X\x01\x00\x00\x00xK\x09sb"),  # and for a class
        (b"N", b"K\x01R"),  # calls nothing
        (b"K\x00Q",),  # a number as the key of a storage
        (storage(4, b"float32"), b"0(X\x07\x00\x00\x00storageNNNNtQ"),
    ],
)
def test_a_file_cannot_change_what_reads_it(lines, tmp_path):
    before = {name: vars(value) for name, value in GLOBALS.items() if hasattr(value, "__dict__")}
    write_archive(tmp_path / "file.pt", program(*lines))
    with pytest.raises(TokzooError, match="refused"):
        CheckpointFile.open(tmp_path / "file.pt")
    assert before == {name: vars(value) for name, value in GLOBALS.items() if hasattr(value, "__dict__")}


def test_a_few_bytes_that_mean_billions_are_refused(tmp_path):
    endless = {}
    endless["a"] = endless["b"] = endless
    with pytest.raises(TokzooError, match="nested more than"):
        opened(endless, tmp_path / "endless.pt")


@pytest.mark.parametrize("place", [b"r" + b"\xff" * 4, b"q\x0c", b"p4294967295\n"])
def test_a_place_far_beyond_all_others_takes_no_memory(place, tmp_path):
    write_archive(tmp_path / "file.pt", program(b"K\x01", place))
    tracemalloc.start()
    try:
        assert CheckpointFile.open(tmp_path / "file.pt").leaves == {"x": 1}
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "key",
    [
        b"N" + b"\x85" * 1_000_000,
        b"N" + b"2\x86" * 60,
        b"(" + b"N" + b"2\x86" * 60 + b"K\x01d",
        b"ccollections\nOrderedDict\n(]N" + b"2\x86" * 60 + b"K\x01\x86atR",
        b"]",
    ],
    ids=["deep", "doubled", "at once", "in an ordered dictionary", "a list"],
)
def test_a_key_that_would_take_years_to_hash_is_refused(key, tmp_path):
    write_archive(tmp_path / "file.pt", program(b"}" + key + b"K\x01s"))
    with pytest.raises(TokzooError, match="refused: a key in it is a"):
        CheckpointFile.open(tmp_path / "file.pt")


def test_names_that_grow_without_bound_are_refused(tmp_path):
    content = {"x" * 300: 1}
    with pytest.raises(TokzooError, match="refused: a name in it has more than 500 characters: xxx"):
        opened({"x" * 300: content}, tmp_path / "file.pt")


def test_a_bytearray_takes_no_memory(tmp_path):
    write_archive(tmp_path / "file.pt", program(b"\x96" + b"\xff" * 5 + b"\0\0\0"))
    with pytest.raises(TokzooError, match="refused: it holds a bytearray"):
        CheckpointFile.open(tmp_path / "file.pt")


@pytest.mark.parametrize("name", ["pipe.pt", "pipe.safetensors"])
def test_a_pipe_is_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TokzooError, match=rf"{name}: cannot be read \(it is a named pipe, not a file\)"):
        CheckpointFile.open(tmp_path / name)


@pytest.mark.parametrize("content", [[1], "text", 10**5000, {10**5000: 1}, torch.ones(2)], ids=type)
def test_what_is_no_checkpoint_is_told(content, tmp_path):
    with pytest.raises(TokzooError, match=r"file\.pt: not a checkpoint \((it holds a|Exceeds the limit)"):
        opened(content, tmp_path / "file.pt")


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "old"])
def test_files_that_are_cut_off(options, state, tmp_path):
    """An error or the whole content, wherever the file ends."""
    torch.save(state, tmp_path / "file.pt", **options)
    content = (tmp_path / "file.pt").read_bytes()
    for end in range(0, len(content), len(content) // 40):
        (tmp_path / "cut.pt").write_bytes(content[:end])
        with pytest.raises(TokzooError):
            tensors_of(CheckpointFile.open(tmp_path / "cut.pt"))


def test_torchscript_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", pickle.dumps({}, 2))
    with pytest.raises(TokzooError, match="TorchScript archive, which is code"):
        CheckpointFile.open(tmp_path / "file.pt")
