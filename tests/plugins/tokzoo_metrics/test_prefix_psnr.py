import pytest
import torch

import tokzoo
from tokzoo_metrics.configs import PrefixPSNRConfig, PSNRConfig
from tokzoo_metrics.prefix_psnr import PrefixPSNR
from tokzoo_metrics.psnr import psnr

IMAGES = torch.linspace(-1, 1, 4 * 64).view(4, 1, 8, 8)


def blurred(count):
    """The less, the fewer tokens."""
    return IMAGES * (1 - 1 / (count + 1))


def measure(chain, sizes=(4,), asked=None, **about):
    metric = PrefixPSNR(PrefixPSNRConfig(), chain)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    for start, size in zip(starts, sizes, strict=True):
        rows = slice(start, start + size)

        def from_prefix(count, rows=rows):
            if asked is not None:
                asked.append(count)
            return blurred(count)[rows]

        given = {"from_prefix": from_prefix, **about}
        metric.update(tokzoo.ReconstructionBatch(IMAGES[rows], IMAGES[rows] * 0.9, None, None, **given))
    return metric.compute()


def test_each_length_up_to_all_tokens_is_measured(make_chain):
    asked = []
    found = measure(make_chain(shape=(6, 1)), asked=asked)
    assert asked == [1, 2, 4]
    wanted = {f"reconstruction.psnr_at_{n}": float(psnr(IMAGES, blurred(n)).mean()) for n in asked}
    assert found == pytest.approx(wanted)
    assert list(found.values()) == sorted(found.values())


def test_all_tokens_are_the_reconstruction_which_is_not_decoded_again(make_chain):
    asked = []
    found = measure(make_chain(shape=(2, 2)), asked=asked)
    assert asked == [1, 2]
    assert found["reconstruction.psnr_at_4"] == pytest.approx(float(psnr(IMAGES, IMAGES * 0.9).mean()))


def test_of_scales_no_length_below_the_first_is_claimed(make_chain):
    chain = make_chain()
    codes = tokzoo.CodeSpec((4, 4), (16,), segments=((2, 2), (4, 4)))
    chain = tokzoo.Chain(chain.image, 10, chain.latent, chain.latent, codes, None, {})
    assert [name.rpartition("_")[2] for name in measure(chain)] == ["4", "8", "16"]


def test_nothing_where_tokens_are_not_ordered_or_there_are_none(make_chain):
    assert measure(make_chain(), from_prefix=None) == {}
    assert measure(make_chain(vocab=None), from_prefix=None) == {}


def test_batches_do_not_matter(make_chain):
    assert measure(make_chain(), (1, 3)) == pytest.approx(measure(make_chain()))


def test_protocol_is_that_of_psnr_and_says_what_a_prefix_is():
    protocol = PrefixPSNRConfig().protocol()
    assert {name: protocol[name] for name in PSNRConfig().protocol()} == PSNRConfig().protocol()
    assert "at most" in protocol["prefix"]
