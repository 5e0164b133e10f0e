"""Two judges of frozen features: a linear classifier and the nearest neighbours.

The linear one is GigaTok's (arXiv 2504.08736, section 3.1), BatchNorm without scale and offset before one linear layer,
with the whole training set as its batch. A small penalty makes the optimum unique, so that what is measured belongs to
the features and not to an optimizer's schedule. The neighbours vote as in arXiv 1805.01978, section 3.4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokzoo_metrics.configs import KNN_NEIGHBOURS, KNN_TEMPERATURE, PROBE_EPS, PROBE_ITERATIONS, PROBE_PENALTY

ROWS = 1 << 16
"""Rows looked at together: the logits of all of them at once would not fit."""
QUERIES = 256


def standardize(train: Tensor, val: Tensor) -> tuple[Tensor, Tensor]:
    """Both ``[N, D]`` with the mean and variance of ``train`` taken out, as BatchNorm without scale and offset does."""
    mean, variance = train.mean(dim=0), train.var(dim=0, unbiased=False)
    scale = torch.rsqrt(variance + PROBE_EPS)
    return (train - mean) * scale, (val - mean) * scale


def fit_linear(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The weight ``[D, classes]`` and bias that minimise cross-entropy + penalty / 2 · ‖weight‖², found by L-BFGS."""
    with torch.inference_mode(False), torch.enable_grad():
        # What was made in inference mode has no part in a gradient; a copy made outside it has.
        return _minimise(features.clone(), labels.clone(), classes)


def _minimise(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    count, width = features.shape
    parameters = features.new_zeros(width + 1, classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=PROBE_ITERATIONS,
        tolerance_grad=1e-6,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = PROBE_PENALTY / 2 * parameters[:-1].square().sum()
        penalty.backward()
        total = penalty.detach()
        for rows, targets in zip(features.split(ROWS), labels.split(ROWS), strict=True):
            loss = F.cross_entropy(rows @ parameters[:-1] + parameters[-1], targets, reduction="sum") / count
            loss.backward()
            total = total + loss.detach()
        return total

    optimizer.step(closure)
    return parameters[:-1].detach(), parameters[-1].detach()


def linear_accuracy(train: Tensor, train_labels: Tensor, val: Tensor, val_labels: Tensor, classes: int) -> float:
    """The share of ``val`` ``[N, D]`` that a linear classifier of standardized ``train`` knows."""
    weight, bias = fit_linear(train, train_labels, classes)
    return float(((val @ weight + bias).argmax(dim=1) == val_labels).double().mean())


def knn_accuracy(train: Tensor, train_labels: Tensor, val: Tensor, val_labels: Tensor, classes: int) -> float:
    """The share of ``val`` ``[N, D]`` whose nearest neighbours in ``train``, by cosine, vote for its class."""
    train, val = F.normalize(train, dim=1), F.normalize(val, dim=1)
    right = torch.zeros((), dtype=torch.int64, device=val.device)
    for queries, labels in zip(val.split(QUERIES), val_labels.split(QUERIES), strict=True):
        similarity, nearest = (queries @ train.T).topk(min(KNN_NEIGHBOURS, len(train)), dim=1)
        votes = similarity.new_zeros(len(queries), classes)
        votes.scatter_add_(1, train_labels[nearest], torch.exp(similarity / KNN_TEMPERATURE))
        right += (votes.argmax(dim=1) == labels).sum()
    return float(right) / len(val)
