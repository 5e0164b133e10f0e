import pytest
import torch
from safetensors import safe_open
from torch import nn

from tokzoo import TokzooError
from tokzoo.assembly.weights import load_weights
from tokzoo.data.tensors import save_tensors


def test_reads_back(tmp_path):
    module, other = nn.Linear(2, 3), nn.Linear(2, 3)
    save_tensors(module.state_dict(), tmp_path / "deep" / "w")
    load_weights(other, tmp_path / "deep" / "w")
    assert torch.equal(other.weight, module.weight)


def test_shared_and_strided_memory(tmp_path):
    base = torch.arange(6.0)
    tensors = {"all": base, "view": base[2:4], "turned": base.view(2, 3).T, "one": torch.ones(()).expand(3)}
    tensors |= {"none": torch.zeros(0), "neither": torch.zeros(0, 2), "learned": nn.Parameter(torch.ones(2))}
    save_tensors(tensors, tmp_path / "w")
    with safe_open(tmp_path / "w", "pt") as file:
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff" * 99])
def test_unreadable(tmp_path, content):
    if content is not None:
        (tmp_path / "w").write_bytes(content)
    with pytest.raises(TokzooError, match=r"w: (not a whole file of weights|cannot be read)"):
        load_weights(nn.Linear(2, 3), tmp_path / "w")


def test_of_another_model(tmp_path):
    save_tensors(nn.Linear(2, 3).state_dict(), tmp_path / "w")
    with pytest.raises(TokzooError, match=r"(?s)w: these weights are of another model\..*size mismatch"):
        load_weights(nn.Linear(3, 2), tmp_path / "w")
