"""Learning rates by step."""

import math

from tokzoo.recipes.optimization import Optimization


def learning_rate(step: int, total: int, config: Optimization) -> float:
    """The learning rate of update ``step`` (0 … total - 1).

    Warm-up rises linearly and reaches ``lr`` at its last step. Then:

    - ``cosine`` (arXiv 1608.03983) falls to ``final_lr · lr`` at the last update;
    - ``wsd``, warm-up-stable-decay (arXiv 2404.06395, section 4), holds ``lr``, and in the last ``cooldown`` steps
      falls as ``1 - sqrt(done)`` (arXiv 2405.18392, equation 1) towards ``final_lr · lr``, which the update after the
      last would reach.
    """
    warmup = _steps(config.warmup, total)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    final = config.final_lr * config.lr
    if config.schedule == "cosine":
        done = (step - warmup) / max(1, total - 1 - warmup)
        height = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    else:
        cooldown = min(_steps(config.cooldown, total), total - warmup)
        into = step - (total - cooldown)
        height = 1 - math.sqrt(into / cooldown) if into > 0 else 1.0
    return final + (config.lr - final) * height


def _steps(span: int | float, total: int) -> int:
    return span if isinstance(span, int) else round(span * total)
