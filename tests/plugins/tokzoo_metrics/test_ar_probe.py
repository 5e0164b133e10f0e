import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

import tokzoo
from tokzoo_metrics.ar_probe import ARProbe
from tokzoo_metrics.configs import KNN_NEIGHBOURS, PROBE_PENALTY, ARProbeConfig
from tokzoo_metrics.probes import fit_linear, knn_accuracy, linear_accuracy, standardize

CLASSES = 3


class Model(nn.Module):
    """Its hidden states are codes of the image, spoiled in every block but one."""

    def __init__(self, depth, telling):
        super().__init__()
        self.depth, self.telling = depth, telling
        self.table = nn.Embedding(8, 4)
        nn.init.normal_(self.table.weight, generator=torch.Generator().manual_seed(0))

    def features(self, codes, labels, layer):
        assert labels is None
        states = self.table(codes)
        return states if layer == self.telling else states * 0 + torch.arange(4)


def probe_of(model, batch=16):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(90) % CLASSES
    # Of three codes in an image two are noise, and one is the class.
    codes = torch.cat([torch.randint(6, 8, (90, 2), generator=generator), labels[:, None]], dim=1)
    device = torch.device("cpu")
    return tokzoo.RepresentationProbe(
        model, codes[:60].int(), labels[:60], codes[60:].int(), labels[60:], CLASSES, batch, device
    )


def measure(config, model, **options):
    metric = ARProbe(config, None)
    metric.update(probe_of(model, **options))
    return metric.compute()


def test_features_that_tell_the_class_are_read():
    assert measure(ARProbeConfig(), Model(depth=4, telling=2)) == {"probe.ar_linear": 1.0, "probe.ar_knn": 1.0}


@pytest.mark.parametrize(("depth", "middle"), [(1, 1), (5, 2), (12, 6)])
def test_the_middle_layer_is_read_unless_another_is_named(depth, middle):
    assert measure(ARProbeConfig(), Model(depth, telling=middle))["probe.ar_linear"] == 1
    other = measure(ARProbeConfig(layer=middle + 1), Model(depth, telling=middle))
    assert other["probe.ar_linear"] == pytest.approx(1 / CLASSES)


def test_the_numbers_do_not_depend_on_the_batch_and_can_be_had_in_inference_mode():
    model = Model(depth=4, telling=2)
    expected = measure(ARProbeConfig(), model)
    with torch.inference_mode():
        assert measure(ARProbeConfig(), model, batch=7) == expected
    assert model.table.weight.grad is None


def noisy_clusters(count, seed):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    return generator.normal(size=(count, 5)) + np.eye(5)[labels] * 1.5, labels


def test_the_linear_probe_is_at_its_optimum():
    features, labels = noisy_clusters(300, 0)
    weight, bias = fit_linear(torch.from_numpy(features).float(), torch.from_numpy(labels), CLASSES)

    def objective(flat):
        parameters = flat.reshape(6, CLASSES)
        logits = features @ parameters[:-1] + parameters[-1]
        likelihood = logits[np.arange(300), labels] - np.log(np.exp(logits).sum(axis=1))
        return PROBE_PENALTY / 2 * (parameters[:-1] ** 2).sum() - likelihood.mean()

    best = minimize(objective, np.zeros(6 * CLASSES), tol=1e-10)
    found = torch.cat([weight, bias[None]]).numpy()
    assert objective(found.ravel()) == pytest.approx(best.fun, rel=1e-6)
    # One constant added to the biases of all classes changes nothing.
    centred = best.x.reshape(6, CLASSES)
    np.testing.assert_allclose(found[:-1], centred[:-1], atol=2e-3)
    np.testing.assert_allclose(found[-1] - found[-1].mean(), centred[-1] - centred[-1].mean(), atol=2e-3)


def test_the_linear_probe_may_take_its_rows_in_parts(monkeypatch):
    features, labels = (torch.from_numpy(part) for part in noisy_clusters(300, 0))
    whole = fit_linear(features, labels, CLASSES)
    monkeypatch.setattr("tokzoo_metrics.probes.ROWS", 64)
    torch.testing.assert_close(fit_linear(features, labels, CLASSES), whole)


def test_neighbours_vote_as_published():
    train, train_labels = noisy_clusters(200, 1)
    val, val_labels = noisy_clusters(301, 2)
    similarity = (val / np.linalg.norm(val, axis=1)[:, None]) @ (train / np.linalg.norm(train, axis=1)[:, None]).T
    right = 0
    for row, label in zip(similarity, val_labels, strict=True):
        nearest = np.argsort(-row)[:KNN_NEIGHBOURS]
        votes = [np.exp(row[nearest][train_labels[nearest] == k] / 0.07).sum() for k in range(CLASSES)]
        right += int(np.argmax(votes) == label)
    given = [torch.from_numpy(part) for part in (train, train_labels, val, val_labels)]
    assert knn_accuracy(*given, CLASSES) == right / 301
    assert 0.5 < right / 301 < 0.99


def test_standardized_features_have_mean_0_and_variance_1_and_constants_vanish():
    train = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 5.0, 0.0]) + 2
    own, other = standardize(train, train[:5] + 1)
    torch.testing.assert_close(own.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.var(dim=0, unbiased=False), torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(other[:, 1], own[:5, 1] + 1 / train[:, 1].std(unbiased=False))


def test_chance_is_what_noise_gets():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(600, 4, generator=generator), torch.arange(600) % CLASSES
    found = linear_accuracy(features[:300], labels[:300], features[300:], labels[300:], CLASSES)
    assert found == pytest.approx(1 / CLASSES, abs=0.1)
