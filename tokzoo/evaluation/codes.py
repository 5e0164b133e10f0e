"""Extracting the codes of a split, once for every augmented view an AR model will learn from."""

import torch

from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Split
from tokzoo.data.augment import variants
from tokzoo.data.batches import in_order
from tokzoo.data.codes import CodeSet
from tokzoo.data.config import Augmentation
from tokzoo.data.feed import DeviceFeed


@torch.no_grad()
def extract_codes(
    tokenizer: Tokenizer, split: Split, augmentation: Augmentation, batch: int, device: torch.device
) -> CodeSet:
    """The codes of every image in every view of the augmentation, int32 on the CPU.

    Raises:
        TokzooError: the tokenizer has no codes.
    """
    if tokenizer.chain.codes is None:
        raise TokzooError("a continuous quantizer has no codes to extract")
    feed = DeviceFeed(split, device)
    views = variants(augmentation).values()
    codes, labels = [], []
    for indices in in_order(len(split), batch):
        images, classes = feed.batch(indices)
        # int32 holds every vocabulary, at half the disk and memory.
        codes.append(torch.stack([tokenizer.encode(view(images)).int() for view in views]).cpu())
        if classes is not None:
            labels.append(classes.cpu())
    return CodeSet(torch.cat(codes, dim=1), torch.cat(labels) if labels else None)
