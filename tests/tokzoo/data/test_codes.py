import pytest
import torch
from safetensors.torch import save_file

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.specs import CodeSpec
from tokzoo.data.codes import CodeSet, read_codes, storage_type, write_codes


@pytest.mark.parametrize(
    ("vocab", "dtype"),
    [((2**15,), torch.int16), ((8, 2**15 + 1), torch.int32), ((2**31,), torch.int32), ((2**36,), torch.int64)],
)
def test_the_largest_code_of_a_vocabulary_comes_back_from_a_file(tmp_path, vocab, dtype):
    spec = CodeSpec((4,), vocab)
    assert storage_type(spec) == dtype
    codes = torch.full((1, *spec.batch_shape(3)), max(vocab) - 1).to(dtype)
    CodeSet(codes, torch.arange(3)).save(tmp_path / "codes")
    found = CodeSet.load(tmp_path / "codes")
    assert int(found.codes.max()) == max(vocab) - 1
    assert found.labels.tolist() == [0, 1, 2]


def test_a_file_says_what_it_was_told_of_its_codes(tmp_path):
    write_codes(tmp_path / "codes", torch.zeros(2, 4, dtype=torch.int16).T, about={"maker": "me"})
    codes, labels, about = read_codes(tmp_path / "codes")
    assert (codes.shape, labels, about["maker"]) == ((4, 2), None, "me")


def test_what_holds_no_codes_of_a_split_is_told(tmp_path):
    write_codes(tmp_path / "flat", torch.zeros(2, 4, dtype=torch.int16))
    write_codes(tmp_path / "labels", torch.zeros(1, 2, 4, dtype=torch.int16), torch.arange(3))
    write_codes(tmp_path / "float", torch.zeros(1, 2, 4))
    save_file({"codes": torch.zeros(1, 2, 4, dtype=torch.int16)}, tmp_path / "bare")
    for name in ("flat", "labels", "float", "bare", "none"):
        with pytest.raises(TokzooError, match=f"{name}: (not|cannot be read)"):
            CodeSet.load(tmp_path / name)
