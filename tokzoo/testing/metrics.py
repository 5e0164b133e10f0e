"""What a metric keeps to: numbers it declared, the same however the images come, and their protocol as JSON."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

import torch

from tokzoo.contracts.configs import MetricConfig
from tokzoo.contracts.errors import Refusal, describe
from tokzoo.contracts.interfaces import (
    EfficiencyProbe,
    GenerationBatch,
    LikelihoodBatch,
    ReconstructionBatch,
    RepresentationProbe,
)
from tokzoo.contracts.outputs import ARLoss
from tokzoo.contracts.specs import MetricInfo
from tokzoo.testing.asserting import assert_same
from tokzoo.testing.metric_settings import (
    BATCHES,
    IMAGES,
    ONCE,
    Setting,
    codes_settings,
    contents_of,
    modules_of,
    rows_of,
    setting,
    update,
)
from tokzoo.testing.subject import Subject

ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")

TOLERANCE = 1e-3
"""How far a number may move, as a part of itself, where only the order of its additions does."""


def reports_are_well_formed(subject: Subject) -> None:
    """``stage`` is one there is, and ``reports`` describes each number once, under an id ``group.name``."""
    config = _config(subject)
    assert config.stage in BATCHES, f"stage {config.stage!r} is none of {', '.join(BATCHES)}"
    reports = config.reports
    right = isinstance(reports, tuple) and all(isinstance(info, MetricInfo) for info in reports)
    assert right, f"reports is {reports!r:.80}, not a tuple of MetricInfo"
    assert reports, "reports nothing"
    ids = [info.id for info in reports]
    assert len(ids) == len(set(ids)), f"reports an id twice: {', '.join(ids)}"
    for info in reports:
        assert ID.fullmatch(info.id), f"id {info.id!r} is not of the form group.name, in small letters, numbers and _"
        assert info.label, f"{info.id} has no label"
        assert info.better in ("higher", "lower", None), (
            f"{info.id}: better is {info.better!r}, not higher, lower or None"
        )
        right = isinstance(info.digits, int) and info.digits >= 0
        assert right, f"{info.id}: digits is {info.digits!r}, not a number of decimals"


def protocol_is_json(subject: Subject) -> None:
    """``protocol`` is a JSON object, and the same again and of an equal config: numbers compare only within one."""
    config = _config(subject)
    found = config.protocol()
    assert isinstance(found, dict), f"protocol gives a {type(found).__name__}, not a dict"
    wrong = [key for key in found if not isinstance(key, str)]
    assert not wrong, f"protocol has the key {wrong[:1]}, which is no text"
    try:
        text = json.dumps(found, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"protocol cannot be written as JSON: {error}") from error
    equal = type(config).model_validate({name: getattr(config, name) for name in type(config).model_fields})
    for again in (config.protocol(), equal.protocol()):
        assert json.dumps(again, sort_keys=True) == text, f"protocol changes from call to call: {again} after {found}"


def numbers_are_those_declared(subject: Subject) -> None:
    """``compute`` gives finite numbers under ids that ``reports`` declares, and the same ones when asked again."""
    place = setting(subject)
    metric = place.metric()
    update(metric, [place.batch()])
    found = metric.compute()
    _assert_declared(subject, found)
    again = metric.compute()
    assert again == found, f"compute gives {again} after {found}: it must not change what was taken in"


def _assert_declared(subject: Subject, found: Mapping[str, Any]) -> None:
    assert isinstance(found, dict), f"compute gives a {type(found).__name__}, not a dict"
    declared = [info.id for info in _config(subject).reports]
    undeclared = [name for name in found if name not in declared]
    assert not undeclared, f"computes {undeclared[0]}, which reports does not declare"
    for name, value in found.items():
        right = isinstance(value, int | float) and not isinstance(value, bool)
        assert right, f"{name} is a {type(value).__name__}, not a number"
        assert math.isfinite(value), f"{name} is {value}"


def works_with_codes_of_any_kind(subject: Subject) -> None:
    """It measures levels of codes, scales, a vocabulary for each position, and 2^36 codes; or refuses them."""
    if not isinstance(setting(subject).batch(), ReconstructionBatch | LikelihoodBatch):
        return
    for place in codes_settings(subject):
        try:
            found = place.measured([place.batch()])
        except Refusal:
            continue
        except Exception as error:
            raise AssertionError(
                f"fails with {place.chain.codes}, instead of refusing them: {describe(error)}"
            ) from error
        _assert_declared(subject, found)


def batches_do_not_matter(subject: Subject) -> None:
    """The numbers are the same however the images are split into batches, and in whatever order they come."""
    place = setting(subject)
    whole = place.batch()
    if isinstance(whole, ONCE):
        return
    wanted = place.measured([whole])
    everyone = torch.arange(IMAGES)
    for what, rows in (("split into other batches", everyone), ("in another order", everyone.flip(0))):
        found = place.measured([rows_of(whole, part) for part in rows.split([5, 1, IMAGES - 6])])
        assert found.keys() == wanted.keys(), f"reports {sorted(found)} and not {sorted(wanted)}, {what}"
        for name in wanted.keys() - _observed(subject):
            close = math.isclose(found[name], wanted[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)
            assert close, f"{name} is {found[name]:.6g} and not {wanted[name]:.6g} for the same images {what}"


def _observed(subject: Subject) -> set[str]:
    """The ids of what varies from run to run."""
    return {info.id for info in _config(subject).reports if info.observed}


def instances_share_nothing(subject: Subject) -> None:
    """Two metrics at a time measure each what it is shown, and a new one begins at zero."""
    place = setting(subject)
    first, second = place.metric(), place.metric()
    batches = [place.batch(), place.batch()]
    if not isinstance(batches[1], ONCE):
        batches[1] = rows_of(batches[1], torch.arange(IMAGES // 2))
    wanted = place.measured(batches[:1])
    update(first, batches[:1])
    update(second, batches[1:])
    for what, found in (("beside another one", first.compute()), ("after another one", place.measured(batches[:1]))):
        for name in wanted.keys() - _observed(subject):
            same = math.isclose(found.get(name, math.nan), wanted[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)
            assert same, f"{name} is {found.get(name)} and not {wanted[name]:.6g} {what}: instances share state"


def what_it_is_shown_stays(subject: Subject) -> None:
    """``update`` and ``compute`` change no tensor and no module that they are shown."""
    place = setting(subject)
    batch = place.batch()
    before = contents_of(batch)
    modes = {name: part.training for name, part in modules_of(batch)}
    metric = place.metric()
    update(metric, [batch])
    metric.compute()
    for name, tensor in contents_of(batch).items():
        assert_same(tensor, before[name], f"changes {name} of the batch")
    for name, part in modules_of(batch):
        assert part.training == modes[name], f"leaves {name} in another training mode"


def what_is_missing_is_left_out(subject: Subject) -> None:
    """Without labels, codes, a likelihood or an AR model it still computes what it can, and leaves out the rest."""
    place = setting(subject)
    batch = place.batch()
    if isinstance(batch, RepresentationProbe):
        return  # it is asked only where there is everything
    if isinstance(batch, ReconstructionBatch):
        batch = dataclasses.replace(batch, codes=None, labels=None)
    elif isinstance(batch, GenerationBatch):
        batch = dataclasses.replace(batch, labels=None)
    elif isinstance(batch, EfficiencyProbe):
        batch = dataclasses.replace(batch, ar=None)
    else:
        batch = dataclasses.replace(batch, loss=ARLoss(batch.loss.loss, None, exact=False))
    codes = None if isinstance(batch, ReconstructionBatch) else place.chain.codes
    bare = Setting(subject, dataclasses.replace(place.chain, classes=None, codes=codes))
    try:
        metric = bare.metric()
    except Refusal:
        return  # it says that it means nothing there
    try:
        update(metric, [batch])
        found = metric.compute()
    except Exception as error:
        raise AssertionError(f"without labels, codes and the like it raises {describe(error)}") from error
    _assert_declared(subject, found)


def _config(subject: Subject) -> MetricConfig:
    return cast(MetricConfig, subject.config)


CHECKS = (
    reports_are_well_formed,
    protocol_is_json,
    numbers_are_those_declared,
    works_with_codes_of_any_kind,
    batches_do_not_matter,
    instances_share_nothing,
    what_it_is_shown_stays,
    what_is_missing_is_left_out,
)
