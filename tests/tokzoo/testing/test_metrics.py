"""The checks of metrics: each planted fault fails the one meant for it, and good metrics pass all."""

import re
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tokzoo.contracts.specs import ImageSpec
from tokzoo.registry.catalogue import Catalogue
from tokzoo.registry.plugins import load_registry
from tokzoo.testing import metric_settings
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.subject import CannotBuild, Subject

FILE = ROOT / "tests" / "data" / "plugins" / "faulty_judges.py"
REGISTRY = load_registry([FILE])
CHECKS = {check.__name__: check for check in checks_for("metric")}

FAULTS = {
    "faulty/mean-of-batches": ("batches_do_not_matter", "for the same images split into other batches"),
    "faulty/first-image-counts-twice": ("batches_do_not_matter", "for the same images in another order"),
    "faulty/undeclared-number": (
        "numbers_are_those_declared",
        "computes reconstruction.count, which reports does not declare",
    ),
    "faulty/tensor-for-a-number": ("numbers_are_those_declared", "reconstruction.mae is a Tensor, not a number"),
    "faulty/infinite": ("numbers_are_those_declared", "reconstruction.mae is inf"),
    "faulty/begins-anew-when-asked": ("numbers_are_those_declared", "it must not change what was taken in"),
    "faulty/refuses-every-tokenizer": (
        "numbers_are_those_declared",
        "refuses every tokenizer it was offered: judges music",
    ),
    "faulty/one-sum-for-all": ("instances_share_nothing", "instances share state"),
    "faulty/writes-into-the-batch": ("what_it_is_shown_stays", "changes images of the batch"),
    "faulty/needs-labels": (
        "what_is_missing_is_left_out",
        "without labels, codes and the like it raises",
    ),
    "faulty/protocol-of-sets": ("protocol_is_json", "Object of type set is not JSON serializable"),
    "faulty/restless-protocol": ("protocol_is_json", "protocol changes from call to call"),
    "faulty/better-is-up": ("reports_are_well_formed", "better is 'up', not higher, lower or None"),
    "faulty/id-without-a-group": ("reports_are_well_formed", "id 'mae' is not of the form group.name"),
    "faulty/one-id-twice": ("reports_are_well_formed", "reports an id twice"),
}
"""The check meant for each planted fault, and words of what it says."""


def subject(name, **fields):
    entry = REGISTRY.components.get("metric", name)
    return Subject.of(entry, REGISTRY.components, fields or None, files=(FILE,))


def test_every_planted_fault_is_listed():
    names = {entry.spec.name for entry in REGISTRY.components.of_kind("metric")}
    planted = {name for name in names if name.startswith("faulty/") and not name.startswith("faulty/good-")}
    assert planted == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_the_check_meant_for_it(name):
    check, words = FAULTS[name]
    with pytest.raises(AssertionError, match=re.escape(words)):
        run_check(CHECKS[check], subject(name))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["metric"])
def test_good_ones_pass(name, check):
    run_check(CHECKS[check], subject(f"faulty/good-{name}"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["codebook", "ar-loss", "sample-accuracy", "cost", "ar-probe"])
def test_one_of_each_stage_passes(name, check):
    run_check(CHECKS[check], subject(name))


def test_a_metric_of_one_dataset_is_tried_on_its_images():
    place = metric_settings.setting(subject("sample-accuracy"))
    assert place.chain.image == ImageSpec(1, (32, 32))
    assert place.chain.classes == 10


def test_a_metric_whose_dataset_is_unknown_is_not_tried():
    alone = replace(subject("sample-accuracy"), catalogue=Catalogue())
    with pytest.raises(CannotBuild, match="means something on fashion alone, and no such dataset is here"):
        run_check(CHECKS["numbers_are_those_declared"], alone)
