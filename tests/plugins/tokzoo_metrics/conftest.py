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
