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
from tokzoo.recipes.models import Budget, Optimization
from tokzoo.training.checkpoint import CHECKPOINT, Checkpoint, load_module_state, module_state
from tokzoo.training.ema import WeightAverage
from tokzoo.training.events import EventLog
from tokzoo.training.meter import Meter
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
        group = task.player()
        self.optimizers = {"main": Optimizer(group, config)}
        self.optimizers |= {role: Optimizer(player, config) for role, player in task.adversaries().items()}
        averaged = {name: p for name, p in self.optimizers["main"].parameters.items() if name in group.averaged}
        self.average = WeightAverage(averaged, config.ema) if config.ema else None
        self.trained = frozenset(name for optimizer in self.optimizers.values() for name in optimizer.parameters)

    def run(self) -> None:
        """Train to the end of the budget; the weights are then the averaged ones, if an average was asked for.

        Raises:
            Diverged: a loss term became non-finite; the last checkpoint stays.
            Interrupted: it was asked to stop; the next run goes on from there.
        """
        start = self._restore()
        self.task.module.train()
        log = EventLog(self.around.folder / "events.jsonl", start)
        meter = Meter()
        since = saved = time.monotonic()
        images = 0
        for step in range(start, self.budget.steps):
            images += self._step(Progress(step, self.budget.steps), meter)
            done = step + 1
            if done % LOG_EVERY and done < self.budget.steps:
                continue
            terms = meter.read(done)
            now = time.monotonic()
            speed = images / (now - since)
            since, images = now, 0
            event = {"step": done, "total": self.budget.steps, "lr": self._rate(step), "images_per_s": speed, **terms}
            log.append(event)
            self.around.report(event)
            stopping = self.around.stopping()
            if done < self.budget.steps and (stopping or now - saved >= self.around.checkpoint_seconds):
                self._checkpoint(done).save(self._path)
                saved = now
            if stopping and done < self.budget.steps:
                raise Interrupted(f"stopped at step {done} of {self.budget.steps}")
        if self.average:
            self.average.copy_to_weights()
        self.task.module.eval()

    @property
    def _path(self) -> Path:
        return self.around.folder / CHECKPOINT

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.budget.steps, self.config)

    def _step(self, progress: Progress, meter: Meter) -> int:
        torch.manual_seed(derive_seed(self.seed, "step", progress.step))
        self.task.before_step(progress)
        adversaries = [role for role in self.optimizers if role != "main"]
        for role in adversaries:
            self.optimizers[role].freeze(True)
        with self._autocast():
            step = self.task.losses(progress)
        self.optimizers["main"].step(step.loss, self._rate(progress.step))
        meter.add({"loss": step.loss.detach(), **step.terms})
        for role in adversaries:
            self.optimizers[role].freeze(False)
            with self._autocast():
                answer = self.task.adversary_losses(role, step, progress)
            if answer is not None:
                self.optimizers[role].step(answer.loss, self._rate(progress.step))
                meter.add(answer.terms)
        overwritten = self.task.after_step(step, progress)
        self.optimizers["main"].restart(overwritten)
        if self.average:
            self.average.update(progress.step)
            self.average.restart(overwritten)
        return step.images

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.around.device.type, torch.bfloat16, enabled=enabled)

    def _checkpoint(self, step: int) -> Checkpoint:
        parts = {"module": module_state(self.task.module, self.trained)}
        parts |= {f"optimizer.{role}": optimizer.state() for role, optimizer in self.optimizers.items()}
        if self.average:
            parts["average"] = self.average.average
        return Checkpoint(step, parts)

    def _restore(self) -> int:
        checkpoint = Checkpoint.load(self._path, self.around.device)
        if checkpoint is None:
            return 0
        load_module_state(self.task.module, self.trained, checkpoint.parts["module"])
        for role, optimizer in self.optimizers.items():
            optimizer.load(checkpoint.parts.get(f"optimizer.{role}", {}))
        if self.average:
            self.average.average = checkpoint.parts["average"]
        self.around.report({"step": checkpoint.step, "total": self.budget.steps, "resumed": True})
        return checkpoint.step
