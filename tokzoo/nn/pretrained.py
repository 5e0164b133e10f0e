"""What components that hold a pretrained network of a library share."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError


def check_started(owner: nn.Module, network: nn.Module | None, images: Tensor) -> None:
    """Raise :class:`TokzooError` where images meet a network that is there for its shapes alone.

    A component that holds a pretrained network builds it on the meta device, without memory, and puts one with weights
    in its place in ``start``.

    Args:
        owner: the component.
        network: what it holds; None: nothing yet.
        images: what the network is about to see. On the meta device too, where there are shapes alone, all is well.
    """
    if network is None or (not images.is_meta and any(p.is_meta for p in network.parameters())):
        raise TokzooError(f"{type(owner).__name__} has no weights yet: start() reads them, and comes before use")


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
