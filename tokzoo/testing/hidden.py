"""What encoders and decoders show of their insides: hidden states at taps, and their last layer."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tokzoo.contracts.capabilities import HasLastLayer
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.specs import LAST_LAYER, HiddenSpec, Tap
from tokzoo.testing.asserting import assert_finite
from tokzoo.testing.subject import BATCH
from tokzoo.testing.trial import pull

TAPS = (0, 1, 2, 3, 4)
"""Layers that are asked for; those there are not must be refused."""


def assert_taps_are_served(
    promised: Callable[[Tap], HiddenSpec], serve: Callable[[tuple[Tap, ...]], Mapping[Tap, Tensor]]
) -> None:
    """Fail unless exactly the hidden states asked for are there, of the promised shapes, and trainable.

    Args:
        promised: ``hidden_spec`` of a tap; raises ``Refusal`` for one there is not.
        serve: the hidden states of a module built with taps.
    """
    served = {tap: spec for tap in TAPS if (spec := _spec(promised, tap)) is not None}
    for taps in {(), *((tap,) for tap in served), tuple(served)}:
        hidden = serve(taps)
        found = {tap: tuple(states.shape) for tap, states in hidden.items()}
        wanted = {tap: (BATCH, served[tap].positions, served[tap].dim) for tap in taps}
        assert found == wanted, f"built with taps {taps} it serves {found}; hidden_spec promised {wanted}"
        assert_finite({f"tap {tap}": states for tap, states in hidden.items()}, "hidden states")
        detached = [tap for tap, states in hidden.items() if not states.requires_grad]
        assert not detached, f"hidden states at tap {detached[0]} are detached: no gradient comes from them"


def _spec(promised: Callable[[Tap], HiddenSpec], tap: Tap) -> HiddenSpec | None:
    try:
        return promised(tap)
    except Refusal:
        return None


def assert_last_layer(module: nn.Module, output: Tensor) -> None:
    """Fail unless ``last_layer`` gives a parameter of the module that the gradient of its output reaches."""
    assert isinstance(module, HasLastLayer), f"provides {LAST_LAYER!r} and has no method last_layer"
    layer = module.last_layer()
    own = any(layer is parameter for parameter in module.parameters())
    assert own, f"last_layer gives a {type(layer).__name__} that is none of its own parameters"
    (gradient,) = torch.autograd.grad(pull({"output": output}), layer, allow_unused=True)
    assert gradient is not None, "no gradient of its output reaches what last_layer gives"
    assert bool(gradient.any()), "the gradient at what last_layer gives is zero everywhere"
