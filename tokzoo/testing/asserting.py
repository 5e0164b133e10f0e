"""Failing with a sentence for the author where tensors are not as they should be."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tokzoo.contracts.configs import ComponentConfig
from tokzoo.testing.trial import Answers

CLOSE = 1e-4
"""How far answers may differ where only the order of additions does, as a part of the largest."""


def assert_same(found: Tensor, wanted: Tensor, what: str, tolerance: float = 0.0) -> None:
    """Fail with ``what`` unless two tensors are equal.

    Args:
        found: any tensor.
        wanted: a tensor of the same shape and dtype.
        what: says what should have been equal.
        tolerance: how far numbers may differ, as a part of the largest wanted one; integers are equal or not.
    """
    described = [f"{t.dtype} {tuple(t.shape)}" for t in (found, wanted)]
    assert described[0] == described[1], f"{what}: {described[0]} instead of {described[1]}"
    if not found.numel() or torch.equal(found, wanted):
        return
    if not found.is_floating_point():
        raise AssertionError(f"{what}: {int((found != wanted).sum())} of {found.numel()} differ")
    # Written so that a NaN fails, unless both have it; so do infinities.
    apart = (found - wanted).abs().masked_fill((found == wanted) | (found.isnan() & wanted.isnan()), 0.0)
    difference, scale = apart.max().item(), wanted.abs().max().item()
    same = difference <= tolerance * scale or difference == 0
    assert same, f"{what}: differs by up to {difference:.1e}, in numbers up to {scale:.1e}"


def assert_all_same(found: Answers, wanted: Answers, what: str, tolerance: float = 0.0) -> None:
    """:func:`assert_same` for tensors by name."""
    assert found.keys() == wanted.keys(), f"{what}: {sorted(found)} instead of {sorted(wanted)}"
    for name, tensor in wanted.items():
        assert_same(found[name], tensor, f"{what}: {name}", tolerance)


def assert_finite(tensors: Mapping[str, Tensor | None], what: str) -> None:
    """Fail with ``what`` where one of the tensors holds a NaN or an infinity."""
    for name, tensor in tensors.items():
        assert tensor is None or bool(tensor.isfinite().all()), f"{what}: {name} is not finite"


def assert_losses(config: ComponentConfig, losses: Answers) -> None:
    """Fail unless losses are finite scalars that training can descend, each weighed by the config."""
    for name, loss in losses.items():
        assert loss.ndim == 0, f"loss {name!r} must be a scalar and has the shape {tuple(loss.shape)}"
        assert_finite({repr(name): loss}, "losses")
        assert loss.requires_grad, f"loss {name!r} is detached: no gradient comes from it"
        try:
            weight = config.weight_of(name)
        except Exception as error:
            raise AssertionError(
                f"weight_of({name!r}) raised {type(error).__name__}: it must weigh this loss"
            ) from error
        right = isinstance(weight, int | float) and not isinstance(weight, bool)
        assert right, f"weight_of({name!r}) gives {weight!r}, not a number"


def assert_rows_are_their_own(
    ask: Callable[[Tensor], Tensor], count: int, name: str, verb: str, tolerance: float = 0.0
) -> None:
    """Fail unless each of some things drawn from seeds depends on its own alone.

    Args:
        ask: gives the things whose numbers it is given, int64 ``[B]``.
        count: how many there are.
        name: what the things are called.
        verb: what is done, such as ``"sampled"``.
        tolerance: how far numbers may differ in a batch of another size, as a part of the largest.
    """
    everyone = torch.arange(count)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    wanted = ask(everyone)
    drawn = not torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert_same(ask(everyone), wanted, f"{name} {verb} again from the same seeds")
    assert not drawn, f"{name} are {verb} with torch's global generator: use the seeds"
    assert_same(ask(everyone.flip(0)), wanted.flip(0), f"{name} depend on the order of the batch", tolerance)
    for row in (0, count - 1):
        alone = ask(everyone[row : row + 1])
        assert_same(alone, wanted[row : row + 1], f"{name} depend on the rest of the batch", tolerance)
