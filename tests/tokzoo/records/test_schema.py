"""A record is immutable: its id is that of its content, and whatever was changed is refused with the reason."""

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.hashing import content_hash
from tokzoo.records.schema import Failure, Named, check_record, stored_id

RECORDS = Path(__file__).parents[2] / "data" / "records"
FAILED = {"status": "failed", "metrics": {}, "protocols": {}, "failure": Failure(stage="ar", message="oh")}


def refused(data):
    with pytest.raises(TokzooError) as error:
        check_record(data, "x.json")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_record_survives_its_file(record, data):
    read = check_record(json.loads(json.dumps(data)), "x.json")
    assert read == record()
    assert read.stored == data
    assert len(read.id) == 16


@pytest.mark.parametrize("path", sorted(RECORDS.iterdir()), ids=lambda path: path.stem)
def test_a_record_of_an_earlier_version_is_valid_for_ever(path):
    """These were written by tokzoo 0.1.0; records have got fields since (``provenance``)."""
    data = json.loads(path.read_text())
    record = check_record(data, path.name)
    assert record.id == path.stem
    assert record.provenance == {}
    assert record.stored == data
    data["provenance"] = {}
    assert "it was changed" in refused(data)


def test_what_varies_from_run_to_run_is_no_part_of_the_id(record, data):
    assert record(observed={"seconds": 9, "host": "other"}).id == record().id
    data["observed"]["seconds"] = 100
    assert refused(data) == "x.json: observed: it was changed"
    data["observed"] = {"seconds": 100}  # as records say it that were written without a checksum
    check_record(data, "x.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"probe": "p"},
        {"origin": "claimed"},
        {"track": Named(name="toy@2", hash="t", content={})},
        {"recipe": Named(name="other", hash="r", content={})},
        {"shapes": {"bits_per_image": 161.0}},
        {"versions": {"tokzoo": "0.2"}},
        {"execution": {"tokenizer": {"threads": 2}}},
        {"provenance": {"distributions": {"tokzoo": "0.2"}}},
        {"stages": {"tokenizer": "l"}},
        {"not_applicable": ["ar"]},
        {"protocols": {"abc": {"data_range": 1}}},
        FAILED,
    ],
    ids=", ".join,
)
def test_everything_else_is(record, changes):
    assert record(**changes).id != record().id


@pytest.mark.parametrize(
    "tamper",
    [
        lambda data: data["metrics"]["reconstruction.psnr"].update(value=21.6),
        lambda data: data["metrics"]["reconstruction.psnr"].update(better="lower"),
        lambda data: data["recipe"]["content"]["quantizer"].update(use="fsq"),
        lambda data: data.update(seed=1),
        lambda data: data.update(origin="imported"),
        lambda data: data.update(id="0" * 16),
    ],
)
def test_a_changed_record_is_refused(data, tamper):
    tamper(data)
    assert refused(data).startswith("x.json: its content has the id ")
    assert "it was changed" in refused(data)


@pytest.mark.parametrize("schema", ["tokzoo.record/2", None, 1])
def test_another_schema_is_refused(data, schema):
    assert refused({**data, "schema": schema}) == (
        f"x.json: schema {schema!r}; this version of tokzoo reads tokzoo.record/1"
    )


@pytest.mark.parametrize("data", [[], "text", None, {}])
def test_what_is_no_record_at_all_is_refused(data):
    assert "schema None" in refused(data)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda data: data.pop("seed"), "seed: Field required"),
        (lambda data: data.update(bonus=1), "bonus: Extra inputs are not permitted"),
        (lambda data: data["track"].update(name=5), "track.name: Input should be a valid string"),
        (lambda data: data.update(status="great"), "status: Input should be 'ok', 'failed' or 'diverged'"),
        (lambda data: data["metrics"]["reconstruction.psnr"].update(value=float("nan")), "Input should be a finite"),
        (lambda data: data["metrics"]["reconstruction.psnr"].update(digits=10**9), "digits: Input should be less than"),
        (lambda data: data["protocols"]["abc"].update(data_range=float("inf")), "it holds a number that is not finite"),
        (lambda data: data["protocols"].clear(), "protocols: metrics refer to abc, which are not there"),
        (lambda data: data.update(status="failed"), "failure: a record says where and why it failed"),
    ],
)  # fmt: skip
def test_a_record_that_is_not_valid_is_refused_with_the_field(data, tamper, said):
    tamper(data)
    assert refused(data).startswith("x.json: not a valid record: ")
    assert said in refused(data)


def test_a_failed_record_says_where_and_why(record):
    assert record(**FAILED).failure.message == "oh"
    with pytest.raises(ValidationError, match="failure"):
        record(**{**FAILED, "failure": None})
    with pytest.raises(ValidationError, match="failure"):
        record(failure=FAILED["failure"])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_makes_no_record(content, number):
    value = content()["metrics"]["reconstruction.psnr"]
    with pytest.raises(ValidationError, match="finite"):
        dataclasses.replace(value, value=number)


def test_an_id_is_the_hash_of_all_that_counts(data):
    del data["observed"]
    claimed = data.pop("id")
    assert stored_id(data) == content_hash(data) == claimed
