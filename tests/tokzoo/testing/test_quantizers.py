"""The checks of quantizers beside the planted faults: what passes, what is tried with what, what is not tried."""

import pytest
from kit import Kit

from tokzoo.testing import quantizers, ranks

KIT = Kit("quantizer")


EMA = {"codes": 24, "dim": 4, "ema": {"decay": 0.9}, "warmup": 1, "kmeans": True, "revive": {"threshold": 0.6}}


@pytest.mark.parametrize("check", KIT.checks)
def test_a_codebook_that_no_gradient_moves_passes(check):
    KIT.run(check, KIT.subject("vq", **EMA))


def test_processes_that_take_too_long_are_ended(monkeypatch):
    monkeypatch.setattr(ranks, "SECONDS", 0.1)
    with pytest.raises(AssertionError, match="2 processes wait for each other"):
        quantizers.ranks_keep_one_state(KIT.subject("faulty/good-quantizer"))
