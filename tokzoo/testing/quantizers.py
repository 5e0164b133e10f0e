"""What every quantizer must keep to, as it is trained and as it is used."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor

from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import Overwritten, Progress, Quantized
from tokzoo.testing.asserting import assert_all_same, assert_finite, assert_losses
from tokzoo.testing.modules import MODULE_CHECKS, gradients_reach_its_parameters, over
from tokzoo.testing.quantizer_codes import CODE_CHECKS
from tokzoo.testing.quantizer_trials import QuantizerTrial, trials
from tokzoo.testing.ranks import on_ranks
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import BUDGET, eval_answers, pull, state_of


def specs_agree_with_shapes(subject: Subject) -> None:
    """Latent and codes have the shapes the config promises, on the meta device and on the CPU."""
    for device in ("meta", "cpu"):
        for trial in trials(subject):
            with torch.device(device), torch.no_grad():
                out: Quantized = trial.build().eval()(trial.given())
            found, wanted = tuple(out.latent.shape), (BATCH, trial.handed_on.positions, trial.handed_on.channels)
            assert found == wanted, f"the latent is {found} on {device}; hands_on promised {wanted}"
            codes = None if out.codes is None else tuple(out.codes.shape)
            promised = None if trial.codes is None else trial.codes.batch_shape(BATCH)
            assert codes == promised, f"codes are {codes} on {device}; code_spec promised {promised}"


def gradients_reach_the_encoder(subject: Subject) -> None:
    """In training the gradient at the quantized latent passes on to the encoder's, finite and not all zero."""
    for trial in trials(subject):
        given = trial.given().requires_grad_()
        latent = trial.ready()(given).latent
        assert latent.requires_grad, "the quantized latent is detached: pass the gradient straight through"
        (gradient,) = torch.autograd.grad(pull({"latent": latent}), given, allow_unused=True)
        assert gradient is not None, "no gradient reaches the encoder's latent: pass it straight through"
        assert_finite({"the gradient of the encoder's latent": gradient}, "training")
        assert bool(gradient.any()), "the gradient of the encoder's latent is zero everywhere"


def losses_are_weighed_scalars(subject: Subject) -> None:
    """Losses are finite scalars attached to the graph, and the config weighs each."""
    for trial in trials(subject):
        assert_losses(subject.config, trial.ready()(trial.given().requires_grad_()).losses)


def statistics_are_detached_scalars(subject: Subject) -> None:
    """Statistics are finite scalars without a graph: they are logged, and part of no loss."""
    for trial in trials(subject):
        for name, value in trial.ready()(trial.given().requires_grad_()).statistics.items():
            assert value.ndim == 0, f"statistic {name!r} must be a scalar and has the shape {tuple(value.shape)}"
            assert not value.requires_grad, f"statistic {name!r} has a graph: detach it"
            assert_finite({repr(name): value}, "statistics")


def training_leaves_all_finite(subject: Subject) -> None:
    """After some training steps all is finite, and what it says it overwrote are rows of its own parameters."""
    for trial in trials(subject):
        module = cast(Quantizer, trial.begun()).train()
        own = {id(parameter) for parameter in module.parameters()}
        for step in trial.steps:
            changes = trial.observed_step(module, trial.given(), Progress(step, BUDGET))
            assert isinstance(changes, Sequence), f"after_step returned {changes!r}, not a sequence of Overwritten"
            for change in changes:
                _assert_rows(change, own)
        assert_finite(state_of(module), f"after {len(trial.steps)} training steps")
        assert_finite(eval_answers(trial, module, trial.given()), f"after {len(trial.steps)} training steps")


def _assert_rows(change: Overwritten, own: set[int]) -> None:
    assert isinstance(change, Overwritten), f"after_step returned {change!r}, not an Overwritten"
    assert id(change.parameter) in own, "after_step says it overwrote a tensor that is none of its own parameters"
    found, wanted = f"{change.rows.dtype} {tuple(change.rows.shape)}", f"torch.bool {(len(change.parameter),)}"
    assert found == wanted, f"the rows of Overwritten are {found}, not {wanted}: a mask over the first axis"


def ranks_keep_one_state(subject: Subject) -> None:
    """Two processes that train it on different latents keep the same parameters and buffers, to the last bit."""
    if not _writes_its_own_state(next(trials(subject))):
        return
    first, second = on_ranks(state_after_training, subject)
    what = "two ranks come to different states: compute them from what after_step gathered, and tokzoo.nn.distributed"
    assert_all_same(second, first, what)


def _writes_its_own_state(trial: QuantizerTrial) -> bool:
    """Whether training changes something although no optimizer does: there is nothing else to keep equal."""
    torch.manual_seed(0)
    module = cast(Quantizer, trial.begun()).train()
    before = state_of(module)
    for step in trial.steps:
        trial.observed_step(module, trial.given(), Progress(step, BUDGET), lambda module, loss: None)
    return not all(torch.equal(tensor, before[name]) for name, tensor in state_of(module).items())


def state_after_training(subject: Subject) -> dict[str, Tensor]:
    """Parameters and buffers after some steps on this rank's own latents, with random draws of its own."""
    trial = next(trials(subject))
    torch.manual_seed(0)
    module = trial.begun()
    trial.train(module, trial.steps, seed=1000 * (1 + dist.get_rank()))
    return state_of(module)


CHECKS = (
    specs_agree_with_shapes,
    *CODE_CHECKS,
    gradients_reach_the_encoder,
    losses_are_weighed_scalars,
    statistics_are_detached_scalars,
    training_leaves_all_finite,
    *over(trials, gradients_reach_its_parameters, *MODULE_CHECKS),
    ranks_keep_one_state,
)
