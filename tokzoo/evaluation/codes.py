"""Extracting the codes of a split, once for every view an AR model will learn from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Split
from tokzoo.data.augment import Variant, ten_crop
from tokzoo.data.codes import CodeSet, storage_type
from tokzoo.data.crops import larger_for_ten_crops
from tokzoo.data.feed import DeviceFeed


def extract_codes(
    tokenizer: Tokenizer, split: Split, views: Sequence[Variant], batch: int, device: torch.device
) -> CodeSet:
    """The codes of views of every image, on the CPU.

    Raises:
        TokzooError: the tokenizer has no codes.
    """
    return _extract(tokenizer, split, views, None, batch, device)


def extract_ten_crops(tokenizer: Tokenizer, split: Split, batch: int, device: torch.device) -> CodeSet:
    """The codes of ten crops of every picture (:func:`ten_crop`), on the CPU: what GigaTok's AR models learn.

    arXiv 2504.08736, as LlamaGen (arXiv 2406.06525) does: of a central square a tenth larger than the images.

    Raises:
        TokzooError: the tokenizer has no codes, or the split cuts no crops.
    """
    size = tokenizer.chain.image.size[0]
    views = list(ten_crop(size).values())
    return _extract(tokenizer, split, views, larger_for_ten_crops(size), batch, device)


@torch.no_grad()
def _extract(
    tokenizer: Tokenizer, split: Split, views: Sequence[Variant], size: int | None, batch: int, device: torch.device
) -> CodeSet:
    """The codes of views of central squares of ``size`` (None: of the images as they are judged)."""
    spec = tokenizer.chain.codes
    if spec is None:
        raise TokzooError("a continuous quantizer has no codes to extract")
    # Filled in place: ten crops of ImageNet are gigabytes.
    codes = torch.empty(len(views), *spec.batch_shape(len(split)), dtype=storage_type(spec))
    labels: list[Tensor] = []
    start = 0
    for images, classes in DeviceFeed(split, device).in_order(batch, size):
        found = torch.stack([tokenizer.codes_of(view(images)) for view in views])
        codes[:, start : start + len(images)] = found.to(codes.dtype).cpu()
        start += len(images)
        if classes is not None:
            labels.append(classes.cpu())
    return CodeSet(codes, torch.cat(labels) if labels else None)
