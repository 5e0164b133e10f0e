import pytest
import torch
from torch import nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.tensors import save_tensors
from tokzoo.training.checkpoint import Checkpoint, module_state


def parts():
    return {
        "module": {"a.weight": torch.arange(6.0).view(2, 3), "flag": torch.tensor(True)},
        "optimizer": {"role/odd name.exp_avg": torch.ones(2), "step": torch.tensor(7.0)},
    }


def zeros(like):
    return {part: {n: torch.zeros_like(t) for n, t in named.items()} for part, named in like.items()}


def test_reads_back_what_was_saved(tmp_path):
    path = tmp_path / "deep" / "c.safetensors"
    Checkpoint(12, parts()).save(path)
    read = Checkpoint.load(path)
    assert read.step == 12
    live = zeros(parts())
    assert read.restore(live)
    for part, named in parts().items():
        for name, tensor in named.items():
            assert torch.equal(live[part][name], tensor)
            assert live[part][name].dtype == tensor.dtype


def test_restoring_shares_no_memory_with_the_file(tmp_path):
    path = tmp_path / "c.safetensors"
    Checkpoint(1, parts()).save(path)
    live = zeros(parts())
    Checkpoint.load(path).restore(live)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert live["module"]["a.weight"].sum() == 15


def change_shape(live):
    live["module"]["a.weight"] = torch.zeros(2, 1)  # would broadcast


def change_type(live):
    live["optimizer"]["step"] = torch.zeros((), dtype=torch.float64)


def add_name(live):
    live["module"]["b.weight"] = torch.zeros(2)


def drop_name(live):
    del live["module"]["flag"]


def drop_part(live):
    del live["optimizer"]


@pytest.mark.parametrize("change", [change_shape, change_type, add_name, drop_name, drop_part])
def test_other_tensors_are_left_alone(change):
    live = zeros(parts())
    change(live)
    assert Checkpoint(1, parts()).restore(live) is False
    assert not any(tensor.any() for named in live.values() for tensor in named.values())


def test_what_is_no_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    assert Checkpoint.load(path) is None
    save_tensors({"module/a": torch.zeros(1)}, path, {"format": "tokzoo.checkpoint/99"})
    with pytest.raises(TokzooError, match=r"c\.safetensors: not a checkpoint that this version of tokzoo reads"):
        Checkpoint.load(path)


@pytest.mark.parametrize("part", [b'"step\\": 10', b'"shape":[6]', bytes(torch.arange(6.0).numpy())])
def test_one_changed_byte_is_noticed(tmp_path, part):
    path = tmp_path / "c.safetensors"
    Checkpoint(10, {"module": {"a": torch.arange(6.0)}}).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(part) + len(part) - 2
    for bit in range(8):
        content[at] ^= 1 << bit
        path.write_bytes(content)
        with pytest.raises(TokzooError, match=r"c\.safetensors: not a whole checkpoint"):
            Checkpoint.load(path)
        content[at] ^= 1 << bit


def test_tensors_in_shared_memory(tmp_path):
    base = torch.arange(4.0)
    Checkpoint(1, {"module": {"all": base, "half": base[:2], "flipped": base.view(2, 2).T}}).save(tmp_path / "c")
    read = Checkpoint.load(tmp_path / "c").parts["module"]
    assert read["half"].tolist() == [0, 1]
    assert read["flipped"].tolist() == [[0, 2], [1, 3]]


def test_module_state():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module.register_buffer("passing", torch.zeros(3), persistent=False)
    state = module_state(module, frozenset({"0.bias"}))
    assert state.keys() == {"0.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked", "passing"}
    assert state["passing"] is module.passing
