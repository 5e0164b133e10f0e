import json

import pytest

from tokzoo.records.schema import MetricValue, Named, make_record


def _content(**changes):
    value = MetricValue(value=21.5, label="PSNR", unit="dB", better="higher", digits=2, protocol="abc")
    content = {
        "status": "ok",
        "track": Named(name="toy@1", hash="t", content={"name": "toy", "main": "reconstruction.psnr"}),
        "recipe": Named(name="mine", hash="r", content={"quantizer": {"use": "vq", "lr": 1e-4, "betas": (0.9, 0.95)}}),
        "probe": None,
        "seed": 0,
        "shapes": {"bits_per_image": 160.0},
        "versions": {"tokzoo": "0.1"},
        "execution": {"tokenizer": {"threads": 1}},
        "stages": {"tokenizer": "k"},
        "not_applicable": [],
        "metrics": {"reconstruction.psnr": value},
        "protocols": {"abc": {"data_range": 255}},
        "observed": {"seconds": 3.5},
    }
    return content | changes


@pytest.fixture
def content():
    """A function from changes to the content of a record."""
    return _content


@pytest.fixture
def record():
    """A function from changes to a record."""
    return lambda **changes: make_record(**_content(**changes))


@pytest.fixture
def data(record):
    """A record as it is read from a file."""
    return json.loads(json.dumps(record().stored))
