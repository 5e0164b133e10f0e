"""The training loop: budget, schedule, precision, weight average, adversaries, log and checkpoints.

Bit-exact resume rests on two habits. Everything random in a step is drawn from generators seeded by (seed, step), and
checkpoints are taken only where the log's means start anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.outputs import Progress
from tokzoo.data.seeding import derive_seed
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.training.checkpoint import CHECKPOINT, Checkpoint, Parts, module_state
from tokzoo.training.ema import WeightAverage
from tokzoo.training.events import EventLog
from tokzoo.training.meter import GRADIENT, LOSS, Meter
from tokzoo.training.optimizer import Optimizer
from tokzoo.training.schedule import learning_rate
from tokzoo.training.task import Task

LOG_EVERY = 10


class Interrupted(TokzooError):
    """Training was asked to stop, and has saved a checkpoint."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and how a stage runs: nothing in here changes its results.

    Attributes:
        folder: where its log and checkpoint are.
        checkpoint_seconds: the time between checkpoints.
        report: called with each log event.
        stopping: asked at each log interval whether to save and stop.
    """

    folder: Path
    device: torch.device
    checkpoint_seconds: float = 30.0
    report: Callable[[dict[str, Any]], None] = lambda event: None
    stopping: Callable[[], bool] = lambda: False


class Trainer:
    """Trains one task for one budget, from its last checkpoint if there is one."""

    def __init__(self, task: Task, config: Optimization, budget: Budget, seed: int, around: Surroundings) -> None:
        self.task = task
        self.config = config
        self.budget = budget
        self.seed = seed
        self.around = around
        for part in task.frozen:
            part.requires_grad_(False)
        group = task.player()
        self.optimizer = Optimizer(group, config)
        self.adversaries = {role: Optimizer(player, config) for role, player in task.adversaries().items()}
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
        log = EventLog(self.around.folder / "events.jsonl", start)
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
            self.around.report(event)
            stopping = self.around.stopping()
            if done < total and (stopping or time.perf_counter() - saved >= self.around.checkpoint_seconds):
                Checkpoint(done, self._parts()).save(self._path)
                saved = time.perf_counter()
            if stopping and done < total:
                raise Interrupted(f"stopped at step {done} of {total}")
            since, images = time.perf_counter(), 0
        if self.average:
            self.average.copy_to_weights()
        self.task.module.eval()

    @property
    def _path(self) -> Path:
        return self.around.folder / CHECKPOINT

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.budget.steps, self.config)

    def _train_mode(self) -> None:
        self.task.module.train()
        for part in self.task.frozen:
            part.eval()

    def _step(self, progress: Progress, meter: Meter) -> int:
        seed_generators(derive_seed(self.seed, "step", progress.step), self.around.device)
        self.task.before_step(progress)
        rate = self._rate(progress.step)
        for adversary in self.adversaries.values():
            adversary.freeze(True)
        with self._autocast():
            step = self.task.losses(progress)
        norm = self.optimizer.step(step.loss, rate)
        meter.add(progress.step, {**step.terms, LOSS: step.loss.detach(), GRADIENT: norm})
        for role, adversary in self.adversaries.items():
            adversary.freeze(False)
            with self._autocast():
                answer = self.task.adversary_losses(role, step, progress)
            if answer is not None:
                norm = adversary.step(answer.loss, rate)
                meter.add(progress.step, {**answer.terms, f"{role}.adversary.{GRADIENT}": norm})
        overwritten = self.task.after_step(step, progress)
        self.optimizer.restart(overwritten)
        if self.average:
            self.average.update(progress.step)
            self.average.restart(overwritten)
        return step.images

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.around.device.type, torch.bfloat16, enabled=enabled)

    def _parts(self) -> Parts:
        """Every tensor the next step depends on, as it is now."""
        players = (self.optimizer, *self.adversaries.values())
        names = self.task.kept.union(*(player.parameters for player in players))
        parts = {"module": module_state(self.task.module, names)}
        parts["optimizer"] = {name: tensor for player in players for name, tensor in player.state().items()}
        if self.average:
            parts["average"] = self.average.average
        return parts

    def _restore(self) -> int:
        """Go back to the last checkpoint; one that cannot be read, or is of another model, counts for nothing."""
        checkpoint = Checkpoint.load(self._path)
        if checkpoint is None or checkpoint.step > self.budget.steps or not checkpoint.restore(self._parts()):
            return 0
        self.around.report({"step": checkpoint.step, "total": self.budget.steps, "resumed": True})
        return checkpoint.step


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of ``device``."""
    if device.type == "cpu":
        # torch.manual_seed would also note the seed for every kind of accelerator, which takes 0.2 ms.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
