from types import SimpleNamespace

import pytest

import tokzoo


@pytest.fixture
def make_chain():
    """A function from (image shape, vocabularies) to a chain; vocab None: continuous."""

    def make(image=(1, 32, 32), vocab=(16,), shape=(4, 4)):
        latent = tokzoo.LatentSpec("grid", shape, 8)
        codes = None if vocab is None else tokzoo.CodeSpec(shape, vocab)
        return tokzoo.Chain(tokzoo.ImageSpec(image[0], image[1:]), 10, latent, latent, codes, None, {})

    return make


@pytest.fixture(scope="session")
def fashion():
    """The embedded images of Fashion-MNIST, uint8, and their labels: ``train`` and ``val``."""
    from tokzoo_metrics.fashion_judge.train import load_fashion

    train, val = load_fashion()
    return SimpleNamespace(train=train, val=val)
