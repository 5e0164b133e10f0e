import numpy as np
import pytest
import torch
import torch_fidelity
from scipy.linalg import sqrtm
from torch.utils.data import Dataset

import tokzoo
from tokzoo.data.pixels import to_unit
from tokzoo_metrics import configs
from tokzoo_metrics.fashion_distance import ReconstructionDistance, SampleDistance
from tokzoo_metrics.fashion_judge.facts import facts
from tokzoo_metrics.fashion_judge.network import load_judge
from tokzoo_metrics.fashion_judge.train import judge_all
from tokzoo_metrics.sample_accuracy import SampleAccuracy

RECONSTRUCTION = configs.ReconstructionFashionDistanceConfig()
SAMPLES = configs.SampleFashionDistanceConfig()
ACCURACY = configs.SampleAccuracyConfig()


@pytest.fixture
def distance(make_chain):
    """The distance of images in [-1, 1], given as samples."""

    def measure(images, batch=500):
        metric = SampleDistance(SAMPLES, make_chain())
        for part in images.split(batch):
            metric.update(tokzoo.GenerationBatch(part, None))
        return metric.compute()["generation.fd_fashion"]

    return measure


def darkened(images):
    return to_unit((images.float() * 0.8).round().to(torch.uint8))


def test_distance_is_the_formula(distance, fashion):
    found = distance(darkened(fashion.val[0]))
    judge = load_judge()
    reference, images = (
        judge_all(judge, given)[0].double().numpy()
        for given in (fashion.val[0], (fashion.val[0].float() * 0.8).round().to(torch.uint8))
    )
    (m1, c1), (m2, c2) = ((each.mean(axis=0), np.cov(each.T)) for each in (reference, images))
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 2 * facts()["floor"]


def test_worse_images_are_farther(distance, fashion):
    images, generator = to_unit(fashion.val[0]), torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=generator)
    found = [distance(images + noise * deviation / 127.5) for deviation in (10, 20, 40)]
    assert 5 * facts()["floor"] < found[0] < 0.5 * found[1] < 0.25 * found[2]
    one_class = images[fashion.val[1] == 1].repeat(10, 1, 1, 1)
    assert distance(one_class) > found[2]


def test_test_images_are_at_0_and_training_images_at_the_floor(distance, fashion):
    assert 0 <= distance(to_unit(fashion.val[0])) < 1e-3
    assert distance(to_unit(fashion.train[0][:2000])) == pytest.approx(facts()["floor"], rel=1e-3)


def test_batches_and_what_8_bits_cannot_hold_make_no_difference(distance, fashion):
    images = darkened(fashion.val[0][:600])
    expected = distance(images)
    assert distance(images, batch=7) == pytest.approx(expected, rel=1e-5)
    assert distance(images + 0.4 / 127.5) == pytest.approx(expected, rel=1e-5)


def test_reconstructions_and_samples_are_on_one_scale(distance, fashion, make_chain):
    images, seen = darkened(fashion.val[0][:300]), to_unit(fashion.val[0][:300])
    metric = ReconstructionDistance(RECONSTRUCTION, make_chain())
    metric.update(tokzoo.ReconstructionBatch(seen, images, None, None))
    assert metric.compute() == {"reconstruction.fd_fashion": pytest.approx(distance(images), rel=1e-5)}
    assert RECONSTRUCTION.protocol() == SAMPLES.protocol()


def test_torch_fidelity_agrees_through_its_own_front_door(distance, fashion):
    class Images(Dataset):
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def __getitem__(self, index):
            return self.images[index]

    dark = (fashion.val[0].float() * 0.8).round().to(torch.uint8)
    options = {"fid": True, "feature_extractor": "fashion-judge", "cuda": False, "verbose": False, "save_cpu_ram": True}
    found = torch_fidelity.calculate_metrics(input1=Images(dark), input2=Images(fashion.val[0]), **options)
    assert distance(to_unit(dark)) == pytest.approx(found["frechet_inception_distance"], rel=1e-4)


def test_too_few_images_are_an_error(distance, fashion):
    with pytest.raises(tokzoo.TokzooError, match=r"'generation\.fd_fashion' needs two images or more, and was given 1"):
        distance(to_unit(fashion.val[0][:1]))


@pytest.mark.parametrize(
    ("kind", "config"),
    [(ReconstructionDistance, RECONSTRUCTION), (SampleDistance, SAMPLES), (SampleAccuracy, ACCURACY)],
)
def test_other_images_and_other_classes_are_refused(kind, config, make_chain):
    with pytest.raises(tokzoo.Refusal, match="judges a 1×32×32 image, not a 3×32×32 image; leave it out"):
        kind(config, make_chain(image=(3, 32, 32)))
    chain = make_chain()
    others = tokzoo.Chain(chain.image, 7, chain.latent, chain.quantized, chain.codes, None, {})
    with pytest.raises(tokzoo.Refusal, match="knows the 10 classes of Fashion-MNIST, and here are 7"):
        kind(config, others)


def test_accuracy_counts_what_was_asked_for(fashion, make_chain):
    images, labels = to_unit(fashion.val[0]), fashion.val[1]
    metric = SampleAccuracy(ACCURACY, make_chain())
    for part in (slice(0, 1999), slice(1999, 2000)):
        metric.update(tokzoo.GenerationBatch(images[part], labels[part]))
    found = metric.compute()["generation.class_accuracy"]
    assert found == pytest.approx(facts()["accuracy"]["val"], abs=0.002)

    wrong = SampleAccuracy(ACCURACY, make_chain())
    wrong.update(tokzoo.GenerationBatch(images, (labels + 1) % 10))
    assert wrong.compute()["generation.class_accuracy"] < 1 - found


def test_samples_of_no_class_have_no_accuracy(fashion, make_chain):
    metric = SampleAccuracy(ACCURACY, make_chain())
    metric.update(tokzoo.GenerationBatch(to_unit(fashion.val[0][:2]), None))
    assert metric.compute() == {}
