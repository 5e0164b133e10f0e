"""Learning rates by step."""

import math

from tokzoo.recipes.models import Optimization


def learning_rate(step: int, total: int, config: Optimization) -> float:
    """The learning rate of update ``step`` (0 … total - 1).

    Warm-up rises linearly and reaches ``lr`` at its last step; the cosine (arXiv 1608.03983) falls from there to
    ``final_lr · lr`` at the last update.
    """
    warmup = config.warmup if isinstance(config.warmup, int) else round(config.warmup * total)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - warmup) / max(1, total - 1 - warmup)
    final = config.final_lr * config.lr
    return final + 0.5 * (config.lr - final) * (1 + math.cos(math.pi * min(1.0, done)))
