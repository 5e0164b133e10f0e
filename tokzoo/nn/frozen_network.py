"""What components that hold a pretrained network share, without training or saving it."""

from torch import nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import ComponentModule


class WithFrozenNetwork(ComponentModule):
    """Beside an interface, a module that holds a frozen network, given to :meth:`hold`.

    Pretrained weights are read in ``start``, so that the network is given there. It follows every move (``to``,
    ``cuda``, ``double``), and yet is no submodule: it is in neither ``parameters`` nor ``state_dict``, ``train()``
    leaves it in eval mode, and wrappers for distributed training neither shard nor broadcast it.
    """

    def hold(self, network: nn.Module) -> None:
        """Freeze the network and keep it, in place of any before it."""
        self._held = (network.eval().requires_grad_(False),)

    @property
    def network(self) -> nn.Module:
        """The frozen network.

        Raises:
            TokzooError: none is held yet.
        """
        if not self._held:
            raise TokzooError(f"{type(self).__name__} has no network yet: start() reads it, and comes before use")
        return self._held[0]
