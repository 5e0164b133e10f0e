"""What components that hold a pretrained network of a library share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def shapes_only() -> bool:
    """Whether modules are now built for their shapes alone (to count parameters), so that no weights are needed."""
    return torch.get_default_device().type == "meta"


def timm_network(model: str, image_size: int, tensors: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A timm model without classifier, its positions resampled to square images of ``image_size`` pixels.

    Args:
        model: as timm names it.
        image_size: in pixels.
        tensors: its weights, without those of a classifier; None: those of timm's hub, or its cache. They go through
            the model's own renaming and resampling, and must fit exactly.

    Raises:
        Exception: whatever the hub's client, the connection or the model may raise.
    """
    import timm

    overlay: dict[str, Any] = {} if tensors is None else {"state_dict": dict(tensors), "num_classes": 0}
    network: nn.Module = timm.create_model(
        model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=image_size
    )
    # Or the tensors would stay in memory twice.
    network.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator, union-attr]
    return network
