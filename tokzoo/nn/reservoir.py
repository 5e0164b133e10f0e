"""The most recent latents, kept on the device between steps."""

import torch
from torch import Tensor, nn

from tokzoo.nn.distributed import of_first_rank


class Reservoir(nn.Module):
    """A ring of ``size`` vectors. Its buffers are training state: checkpoints keep them, the saved tokenizer does not.

    Attributes:
        ring: ``[size, dim]``.
        seen: int64 scalar, how many vectors were ever put in. It stays on the device: reading it would be a host sync.
    """

    ring: Tensor
    seen: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("ring", torch.zeros(size, dim), persistent=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def put(self, vectors: Tensor) -> None:
        """Keep ``[T, dim]``, or every n-th of them where all would not fit."""
        vectors = vectors[:: -(-len(vectors) // len(self.ring))]
        places = (self.seen + torch.arange(len(vectors), device=self.ring.device)) % len(self.ring)
        self.ring.index_copy_(0, places, vectors.to(self.ring.dtype))
        self.seen += len(vectors)

    def draw(self, count: int) -> Tensor:
        """``[count, dim]`` kept vectors at random, with replacement; ranks that kept the same draw the same."""
        kept = self.seen.clamp(max=len(self.ring))
        places = of_first_rank(torch.rand(count, device=self.ring.device)) * kept
        return self.ring[places.long()]

    def contents(self) -> Tensor:
        """All kept vectors, ``[T, dim]``. A host sync."""
        return self.ring[: int(self.seen)]
