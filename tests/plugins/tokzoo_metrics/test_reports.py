import json
import subprocess
import sys

import pytest

from tokzoo.registry.component import load_config
from tokzoo_metrics.plugin import tokzoo_components

SPECS = tokzoo_components()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_protocol_is_json(spec):
    spec.check()
    protocol = load_config(spec)().protocol()
    assert protocol
    assert json.loads(json.dumps(protocol)) == protocol


def test_every_number_is_reported_by_one_metric():
    ids = [info.id for spec in SPECS for info in load_config(spec).reports]
    assert sorted(ids) == sorted(set(ids))
    for spec in SPECS:
        groups = {info.id.split(".")[0] for info in load_config(spec).reports}
        assert groups <= {"reconstruction", "codes", "ar", "generation", "probe", "cost"}
        assert {info.observed for info in load_config(spec).reports} == {spec.name == "throughput"}


def test_throughput_protocol_tells_settings_apart():
    config = next(load_config(spec) for spec in SPECS if spec.name == "throughput")
    protocols = [config(**fields).protocol() for fields in ({}, {"batch": 1}, {"repeats": 9}, {"warmup": 0})]
    assert len({json.dumps(protocol) for protocol in protocols}) == 4


def test_configs_need_no_torch():
    code = (
        "import sys, tokzoo_metrics.plugin as p\nfrom tokzoo.registry.component import load_config\n"
        "assert all(load_config(spec)().protocol() for spec in p.tokzoo_components())\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
