"""The training loop: budget, schedule, precision, weight average, adversaries, log and checkpoints.

Bit-exact resume rests on two habits. Everything random in a step is drawn from generators seeded by (seed, purpose,
step), and checkpoints are taken only where the log's means start anew.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokzoo.contracts.errors import Interrupted, TokzooError, describe
from tokzoo.contracts.outputs import Progress
from tokzoo.data.run_folder import CHECKPOINT, EVENTS
from tokzoo.data.seeding import derive_seed
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.training.checkpoint import Checkpoint, Parts, module_state
from tokzoo.training.ema import WeightAverage
from tokzoo.training.events import EventLog
from tokzoo.training.meter import GRADIENT, LOSS, Meter
from tokzoo.training.optimizer import Optimizer
from tokzoo.training.schedule import learning_rate
from tokzoo.training.task import Batch, Step, Task

LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where and how a stage runs: no result is meant to depend on it.

    Attributes:
        folder: where its log and checkpoint are.
        result: the name of what it is to make, which a checkpoint bears too: another's is not gone on from.
        checkpoint_seconds: the time between checkpoints.
        accumulate: into how many parts a batch is cut, whose gradients are added: less memory. Terms that look at a
            batch as a whole (entropy, batch norm) then look at its parts.
        report: called with each log event.
        tell: called with what a person should know of, a line each.
        stopping: asked at each log interval whether to save and stop.
    """

    folder: Path
    device: torch.device
    checkpoint_seconds: float = 30.0
    accumulate: int = 1
    report: Callable[[dict[str, Any]], None] = lambda event: None
    tell: Callable[[str], None] = lambda line: None
    stopping: Callable[[], bool] = lambda: False
    result: str = ""


class Trainer:
    """Trains one task for one budget, from its last checkpoint if there is one."""

    def __init__(self, task: Task, config: Optimization, budget: Budget, seed: int, context: RunContext) -> None:
        self.task = task
        self.config = config
        self.budget = budget
        self.seed = seed
        self.context = context
        for part in task.frozen:
            part.requires_grad_(False)
        group = task.group()
        self.optimizer = Optimizer(group, config)
        self.adversaries = {role: Optimizer(own, config) for role, own in task.adversaries().items()}
        averaged = {name: p for name, p in self.optimizer.parameters.items() if name in group.averaged}
        self.average = WeightAverage(averaged, config.ema) if config.ema else None

    def run(self) -> None:
        """Train to the end of the budget; the weights are then the averaged ones, if an average was asked for.

        Raises:
            Diverged: a loss term became non-finite; the last checkpoint stays.
            Interrupted: it was asked to stop; the next run goes on from there.
        """
        start, total = self._restore(), self.budget.steps
        self._train_mode()
        log = EventLog(self.context.folder / EVENTS, start)
        meter = Meter()
        since = saved = time.perf_counter()
        images = 0
        for step in range(start, total):
            images += self._step(Progress(step, total), meter)
            done = step + 1
            if done % LOG_EVERY and done < total:
                continue
            terms = meter.read()
            speed = images / (time.perf_counter() - since)
            about = {"step": done, "total": total, "lr": self._rate(step), "images_per_s": speed}
            event = {**about, **terms, **about}  # a role may be called like one of these, and gives way
            log.append(event)
            self.context.report(event)
            stopping = self.context.stopping()
            if done < total and (stopping or time.perf_counter() - saved >= self.context.checkpoint_seconds):
                Checkpoint(done, self._parts(), self.context.result).save(self._path)
                saved = time.perf_counter()
            if stopping and done < total:
                raise Interrupted(f"stopped at step {done} of {total}")
            since, images = time.perf_counter(), 0
        if self.average:
            self.average.copy_to_weights()
        self.task.module.eval()

    @property
    def _path(self) -> Path:
        return self.context.folder / CHECKPOINT

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.budget.steps, self.config)

    def _train_mode(self) -> None:
        self.task.module.train()
        for part in self.task.frozen:
            part.eval()

    def _step(self, progress: Progress, meter: Meter) -> int:
        seed_generators(derive_seed(self.seed, self.task.purpose, "step", progress.step), self.context.device)
        self.task.before_step(progress)
        rate = self._rate(progress.step)
        batch = self.task.batch(progress)
        for optimizer in (self.optimizer, *self.adversaries.values()):
            optimizer.zero()
        answered: set[str] = set()
        steps = []
        terms: list[tuple[float, dict[str, Tensor]]] = []
        for share, part in cut(batch, self.context.accumulate):
            step = self._main_part(part, progress, share)
            steps.append(step)
            terms.append((share, {**step.terms, LOSS: step.loss.detach()}))
            for role in self.adversaries:
                answer = self._adversary_part(role, step, progress, share)
                if answer is not None:
                    answered.add(role)
                    terms.append((share, answer.terms))
        norms = {GRADIENT: self.optimizer.step(rate)}
        norms |= {f"{role}.adversary.{GRADIENT}": self.adversaries[role].step(rate) for role in sorted(answered)}
        meter.add(progress.step, {**mean_terms(terms), **norms})
        overwritten = self.task.after_step(steps, progress)
        self.optimizer.restart(overwritten)
        if self.average:
            self.average.update(progress.step)
            self.average.restart(overwritten)
        return len(batch[0])

    def _main_part(self, part: Batch, progress: Progress, share: float) -> Step:
        """The main losses of a part of the batch, their gradients added."""
        for adversary in self.adversaries.values():
            adversary.freeze(True)
        with self._autocast():
            step = self.task.losses(part, progress)
        self.optimizer.add(step.loss if share == 1 else step.loss * share)
        return step

    def _adversary_part(self, role: str, step: Step, progress: Progress, share: float) -> Step | None:
        """An adversary's answer to the same part, its gradients added."""
        adversary = self.adversaries[role]
        adversary.freeze(False)
        with self._autocast():
            answer = self.task.adversary_losses(role, step, progress)
        if answer is not None:
            adversary.add(answer.loss if share == 1 else answer.loss * share)
        return answer

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.context.device.type, torch.bfloat16, enabled=enabled)

    def _parts(self) -> Parts:
        """Every tensor the next step depends on, as it is now."""
        optimizers = (self.optimizer, *self.adversaries.values())
        names = self.task.kept.union(*(each.parameters for each in optimizers))
        parts = {"module": module_state(self.task.module, names)}
        parts["optimizer"] = {name: tensor for each in optimizers for name, tensor in each.state().items()}
        if self.average:
            parts["average"] = self.average.average
        return parts

    def _restore(self) -> int:
        """Go back to the last checkpoint; one that is damaged, or another's, counts for nothing."""
        try:
            checkpoint = Checkpoint.load(self._path)
        except TokzooError as error:
            self.context.tell(f"begins anew: {describe(error)}")
            return 0
        if checkpoint is None:
            return 0
        if checkpoint.of != self.context.result:
            self.context.tell(f"begins anew: {self._path}: another result's checkpoint")
            return 0
        if checkpoint.step > self.budget.steps or not checkpoint.restore(self._parts()):
            self.context.tell(f"begins anew: {self._path}: a checkpoint of another model")
            return 0
        self.context.report({"step": checkpoint.step, "total": self.budget.steps, "resumed": True})
        return checkpoint.step


def cut(batch: Batch, parts: int) -> list[tuple[float, Batch]]:
    """A batch in at most so many parts, nearly equal; and which share of its rows each has."""
    rows, labels = batch
    if parts == 1:
        return [(1.0, batch)]
    pieces = rows.tensor_split(min(parts, len(rows)))
    of_labels = [None] * len(pieces) if labels is None else labels.tensor_split(len(pieces))
    return [(len(piece) / len(rows), (piece, some)) for piece, some in zip(pieces, of_labels, strict=True)]


def mean_terms(parts: Sequence[tuple[float, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """The terms of a step from those of its parts, each weighed by its share."""
    found: dict[str, Tensor] = {}
    for share, terms in parts:
        for name, value in terms.items():
            weighed = value if share == 1 else value * share
            found[name] = found[name] + weighed if name in found else weighed
    return found


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of ``device``."""
    if device.type == "cpu":
        # torch.manual_seed would also note the seed for every kind of accelerator, which takes 0.2 ms.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
