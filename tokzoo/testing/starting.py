"""What happens before a module is trained: it is built without weights, and started alike in every process."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from tokzoo.testing import ar_trials, decoder_trials, encoders, objectives, quantizer_trials, teachers
from tokzoo.testing.asserting import assert_all_same
from tokzoo.testing.ranks import on_ranks
from tokzoo.testing.subject import CannotBuild, Subject
from tokzoo.testing.trial import Trial, state_of

TRIALS: dict[str, Callable[[Subject], Iterable[Trial]]] = {
    "encoder": encoders.trials,
    "quantizer": quantizer_trials.trials,
    "decoder": decoder_trials.trials,
    "regularizer": objectives.trials,
    "ar": ar_trials.trials,
    "teacher": teachers.trials,
}
"""How the modules of each kind are tried."""

SEED = 12


def building_reads_no_weights(subject: Subject) -> None:
    """It is built where the files its config names are missing: only ``start`` reads them."""
    fields = {name: Path("/nowhere") / name for name in subject.config.contents}
    if not fields:
        return
    lost = dataclasses.replace(subject.slot, config=subject.config.model_copy(update=fields))
    trial = next(iter(TRIALS[subject.kind](subject)))
    trial.subject = dataclasses.replace(subject, slot=lost)
    try:
        trial.build()
    except CannotBuild as error:
        raise AssertionError(f"reads its weights when it is built, not in start: {error}") from error


def start_is_the_same_everywhere(subject: Subject) -> None:
    """From one seed it starts with the same numbers in every process; a teacher's are of a file."""
    if subject.kind == "teacher":
        return
    trial = next(iter(TRIALS[subject.kind](subject)))
    torch.manual_seed(SEED)
    module = trial.build()
    built = state_of(module)
    trial.start(module)
    here = state_of(module)
    if here.keys() == built.keys() and all(torch.equal(tensor, built[name]) for name, tensor in here.items()):
        return  # what it starts with was there when it was built
    (there,) = on_ranks(state_once_started, subject, count=1)
    assert_all_same(there, here, "started in another process, from the same seed")


def state_once_started(subject: Subject) -> dict[str, Tensor]:
    """Parameters and buffers of a new one, started from a fixed seed."""
    trial = next(iter(TRIALS[subject.kind](subject)))
    torch.manual_seed(SEED)
    return state_of(trial.begun())


CHECKS = (building_reads_no_weights, start_is_the_same_everywhere)
