"""Codes of any kind: drawn, and held to what was promised of them."""

import torch
from torch import Tensor

from tokzoo.contracts.specs import CodeSpec


def sizes_of(spec: CodeSpec) -> tuple[int, ...]:
    """The vocabulary of each token of an image, in the order of flattened codes."""
    return spec.vocab if spec.vocab_by == "position" else spec.vocab * spec.positions


def random_codes(spec: CodeSpec, count: int) -> Tensor:
    """Codes of ``count`` images, anywhere in the vocabulary, drawn from torch's global generator."""
    # A column for each vocabulary, whether that is a level's or a position's.
    rows = count if spec.vocab_by == "position" else count * spec.positions
    columns = [torch.randint(size, (rows,)) for size in spec.vocab]
    return torch.stack(columns, -1).view(spec.batch_shape(count))


def assert_codes(codes: Tensor | None, spec: CodeSpec, count: int, what: str) -> None:
    """Fail with ``what`` unless these are codes int64 of ``count`` images, within the vocabulary of each token."""
    assert codes is not None, f"{what}: there are none; promised were {spec}"
    found, wanted = f"{codes.dtype} {tuple(codes.shape)}", f"torch.int64 {spec.batch_shape(count)}"
    assert found == wanted, f"{what} are {found}, not {wanted}"
    columns = codes.reshape(-1, len(spec.vocab)).unbind(1)
    for these, size in zip(columns, spec.vocab, strict=True):
        low, high = int(these.min()), int(these.max())
        assert 0 <= low <= high < size, f"{what} go from {low} to {high}, in a vocabulary of {size}"
