import pytest

from tokzoo.records.schema import Failure, MetricValue, Named, make_record

PSNR, USAGE = "reconstruction.psnr", "codes.usage"


def _record(psnr=None, *, name="mine", recipe=None, seed=0, protocol="p", better="higher", track=None, **changes):
    """A record of one cell; ``psnr`` None: it failed. ``recipe`` is what its name does not say."""
    metrics, status, failure = {}, "ok", None
    if psnr is None:
        status, failure = "failed", Failure(stage="tokenizer", message="no such luck")
    else:
        metrics[PSNR] = MetricValue(value=psnr, label="PSNR", unit="dB", better=better, digits=2, protocol=protocol)
        metrics[USAGE] = MetricValue(value=0.5, label="usage", unit="", better=None, digits=3, protocol="u")
    track = {"name": "toy", "main": PSNR, "columns": [PSNR, USAGE], "seeds": 3} | (track or {})
    content = {
        "status": status,
        "failure": failure,
        "track": Named(name="toy@1", hash="t" * 16, content=track),
        "recipe": Named(name=name, hash=f"{name} {recipe}", content=recipe or {"quantizer": {"use": "vq"}}),
        "probe": None,
        "seed": seed,
        "shapes": {"bits_per_image": 160.0},
        "versions": {},
        "execution": {},
        "stages": {},
        "not_applicable": [],
        "metrics": metrics,
        "protocols": {value.protocol: {} for value in metrics.values()},
    }
    return make_record(**content | changes)


@pytest.fixture
def record():
    """A function that makes a record of a cell."""
    return _record


@pytest.fixture
def seeds():
    """A function that makes a record for each of some values, from seed 0 on."""
    return lambda *values, **about: [_record(value, seed=seed, **about) for seed, value in enumerate(values)]
