import hashlib
import json

import pytest
import torch
from scipy.linalg import sqrtm

import tokzoo
from tokzoo_metrics.fashion_distance import reference
from tokzoo_metrics.fashion_judge import facts as judge_facts
from tokzoo_metrics.fashion_judge.facts import HERE, REFERENCE, WEIGHTS, facts, verified
from tokzoo_metrics.fashion_judge.network import load_judge
from tokzoo_metrics.fashion_judge.train import EPOCHS, accuracy, judge_all, made_with, train, write


@pytest.fixture(scope="module")
def judge():
    return load_judge()


@pytest.mark.parametrize("path", [WEIGHTS, REFERENCE], ids=lambda path: path.name)
def test_files_are_those_noted(path):
    content = path.read_bytes()
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == json.loads((HERE / "judge.json").read_text())["sha256"][path.name]


def test_the_judge_is_as_good_as_noted(judge, fashion):
    found = accuracy(judge, fashion.val)
    assert found >= 0.88
    assert found == pytest.approx(facts()["accuracy"]["val"], abs=0.002)


def test_the_reference_and_the_floor_are_of_real_images(judge, fashion):
    mu, sigma = {}, {}
    for name, (images, _) in (("train", fashion.train), ("val", fashion.val)):
        features = judge_all(judge, images[: facts()["reference_images"]])[0].double()
        mu[name], sigma[name] = features.mean(dim=0), torch.cov(features.T)
        stored = reference(name)
        torch.testing.assert_close(torch.from_numpy(stored["mu"]), mu[name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(stored["sigma"]), sigma[name], rtol=1e-4, atol=1e-5)
    root = sqrtm((sigma["train"] @ sigma["val"]).numpy()).real
    floor = (mu["train"] - mu["val"]).square().sum() + sigma["train"].trace() + sigma["val"].trace() - 2 * root.trace()
    assert facts()["floor"] == pytest.approx(float(floor), rel=1e-3)


def test_weights_that_are_not_those_noted_are_refused(tmp_path, monkeypatch):
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / WEIGHTS.name).write_bytes(content)
    with pytest.raises(tokzoo.TokzooError, match=r"judge\.safetensors is not the file noted in judge\.json"):
        verified(tmp_path / WEIGHTS.name)
    monkeypatch.setitem(judge_facts.facts()["sha256"], WEIGHTS.name, hashlib.sha256(content).hexdigest())
    assert verified(tmp_path / WEIGHTS.name) == content


def test_the_script_gives_the_same_weights_each_time(fashion, tmp_path):
    few = tuple(part[:300] for part in fashion.train)
    for name, split in (("first", few), ("again", few), ("other", (few[0], few[1].flip(0)))):
        torch.manual_seed(len(name))
        write(train(split, 1), few, few, tmp_path / name)
    hashes = {name: json.loads((tmp_path / name / "judge.json").read_text())["sha256"] for name in ("first", "again")}
    assert hashes["first"] == hashes["again"]
    assert (tmp_path / "first" / WEIGHTS.name).read_bytes() != (tmp_path / "other" / WEIGHTS.name).read_bytes()


@pytest.mark.slow
def test_the_script_makes_the_weights_that_come_along(fashion, tmp_path):
    """On the torch and the kind of processor they were made with to the last bit; elsewhere as good a judge."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        judge = train(fashion.train, EPOCHS)
    finally:
        torch.set_num_threads(threads)
    assert accuracy(judge, fashion.val) == pytest.approx(facts()["accuracy"]["val"], abs=0.005)
    write(judge, fashion.train, fashion.val, tmp_path)
    made = json.loads((tmp_path / "judge.json").read_text())
    if made_with() == facts()["made_with"]:
        assert made["sha256"][WEIGHTS.name] == facts()["sha256"][WEIGHTS.name], (
            "same torch and processor, other weights"
        )
