"""What an adversary keeps to beside what every regularizer does: its own terms train it and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tokzoo.assembly.objective import Objective, detached
from tokzoo.contracts.interfaces import Adversary
from tokzoo.testing.asserting import assert_finite, assert_losses
from tokzoo.testing.objectives import (
    RegularizerTrial,
    named_tensors,
    own_parameters,
    regularizer_of,
    tokenizer_losses,
    trials,
)
from tokzoo.testing.subject import Subject


def adversary_owns_its_parameters(subject: Subject) -> None:
    """``adversary_parameters`` gives parameters of its own, the same ones each time, and at least one."""
    for trial in trials(subject):
        part = regularizer_of(trial.build())
        if not isinstance(part, Adversary):
            return
        own, again = list(part.adversary_parameters()), list(part.adversary_parameters())
        assert own, "adversary_parameters gives none: its optimizer has nothing to train"
        wrong = [type(p).__name__ for p in own if not isinstance(p, nn.Parameter)]
        assert not wrong, f"adversary_parameters gives a {', '.join(wrong)}, not a parameter"
        same = [id(p) for p in own] == [id(p) for p in again]
        assert same, "adversary_parameters gives other parameters the second time"
        mine = {id(p) for p in part.parameters()}
        foreign = [tuple(p.shape) for p in own if id(p) not in mine]
        assert not foreign, f"adversary_parameters gives parameters that are not its own: {foreign[0]}"


def adversary_terms_are_scalars(subject: Subject) -> None:
    """``adversary_terms`` gives finite scalars by name, attached to its parameters; ``weight_of`` weighs each."""
    for trial in trials(subject):
        for _, terms in _adversary_terms(trial):
            assert_losses(subject.config, terms)
            assert terms, "adversary_terms gives no term: the adversary learns nothing"


def adversary_moves_itself_alone(subject: Subject) -> None:
    """Gradients of ``adversary_terms`` reach what ``adversary_parameters`` gives and nothing else."""
    for trial in trials(subject):
        for objective, terms in _adversary_terms(trial):
            own = {id(p) for p in own_parameters(objective)}
            named = {name: p for name, p in objective.named_parameters() if p.requires_grad}
            found = torch.autograd.grad(sum(terms.values()), list(named.values()), allow_unused=True)  # type: ignore[arg-type]
            gradients = dict(zip(named, found, strict=True))
            assert_finite(gradients, "gradient of adversary_terms")
            reached = [name for name, gradient in gradients.items() if gradient is not None]
            tokenizer = [name for name in reached if name.startswith("tokenizer.")]
            assert not tokenizer, f"adversary_terms reaches {tokenizer[0]}: keep nothing of the tokenizer's pass"
            foreign = [name for name in reached if id(named[name]) not in own]
            assert not foreign, f"adversary_terms reaches {foreign[0]}, which adversary_parameters does not give"
            assert reached, "no gradient of adversary_terms reaches what adversary_parameters gives"


def _adversary_terms(trial: RegularizerTrial) -> Iterator[tuple[Objective, Mapping[str, Tensor]]]:
    """The objective and the adversary's terms after a tokenizer's step; nothing for another regularizer."""
    objective = trial.ready()
    part = regularizer_of(objective)
    if isinstance(part, Adversary):
        state = tokenizer_losses(objective, trial.given(), trial.progress).state
        terms: Any = part.adversary_terms(detached(state))
        yield objective, named_tensors(terms, "adversary_terms")


ADVERSARY_CHECKS = (adversary_owns_its_parameters, adversary_terms_are_scalars, adversary_moves_itself_alone)
