"""Parts trained for a while, at their own rate, or not at all; and training that starts from a saved tokenizer."""

import pytest
import torch

from tokzoo import Progress, TokzooError
from tokzoo.recipes.optimization import PartTraining
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.tree import Tree
from tokzoo.training.meter import Meter
from tokzoo.training.parts import Parts


def moved(trainer, step):
    """The parts that a step moves."""
    before = {name: p.detach().clone() for name, p in trainer.task.module.named_parameters()}
    trainer._step(Progress(step, 30), Meter())
    names = [name for name, p in trainer.task.module.named_parameters() if not torch.equal(before[name], p)]
    return {".".join(name.split(".")[:2]) for name in names}


@pytest.fixture
def make(make_recipe, make_task, make_trainer):
    def make(parts, **options):
        trainer = make_trainer(make_task(make_recipe(train={"parts": parts, "warmup": 0}, **options)))
        trainer._train_mode()
        return trainer

    return make


def test_a_part_is_trained_while_its_gate_is_open(make):
    trainer = make({"encoder": {"stop": 0.5}, "decoder": {"start": 10}})
    assert moved(trainer, 0) == {"tokenizer.encoder", "tokenizer.quantizer"}
    assert not trainer.task.tokenizer.decoder.training
    assert moved(trainer, 10) == {"tokenizer.encoder", "tokenizer.quantizer", "tokenizer.decoder"}
    assert trainer.task.tokenizer.decoder.training
    assert moved(trainer, 15) == {"tokenizer.quantizer", "tokenizer.decoder"}


def test_what_is_frozen_throughout_has_no_optimizer_state(make):
    trainer = make({"encoder": {"stop": 0}, "quantizer": {"stop": 0}})
    assert {name.split(".")[1] for name in trainer.optimizer.state()} == {"decoder"}
    assert moved(trainer, 3) == {"tokenizer.decoder"}
    assert trainer.task.tokenizer.quantizer.training


def test_a_frozen_quantizer_does_not_update_itself(make):
    trainer = make({"quantizer": {"stop": 10}}, quantizer="test/averaged")
    assert "tokenizer.quantizer" in moved(trainer, 9)
    assert "tokenizer.quantizer" not in moved(trainer, 10)


def test_an_adversary_has_its_own_rate_and_gate(make):
    critic = {"use": "test/critic", "start": 0}
    trainer = make({"regularizers.gan": {"lr": 0.5, "stop": 10}}, gan=critic)
    assert "regularizers.gan" in moved(trainer, 9)
    rates = {group["lr"] / trainer.optimizer.adamw.param_groups[0]["lr"] for group in _groups(trainer)}
    assert rates == {50.0}  # .5 beside .01
    assert "regularizers.gan" not in moved(trainer, 10)
    assert "gan" not in make({"regularizers.gan": {"stop": 0}}, gan=critic).adversaries


def _groups(trainer):
    return trainer.adversaries["gan"].adamw.param_groups


def test_what_a_component_froze_itself_is_not_thawed(make):
    trainer = make({"quantizer": {"start": 5}}, quantizer="test/averaged")
    moved(trainer, 5)
    assert not trainer.task.tokenizer.quantizer.codebook.requires_grad


def test_an_unknown_part_is_told_with_the_nearest(make, make_recipe, make_task):
    with pytest.raises(TokzooError, match=r"did you mean 'encoder'\?"):
        make({"encodr": {"stop": 0}})
    with pytest.raises(TokzooError, match=r"did you mean 'decoder'\?"):
        Parts(make_task(make_recipe()).objective, {"decodr": PartTraining()})


def test_a_schedule_with_parts_resumes_bit_for_bit(make_recipe, make_task, run_to_end, state_of):
    parts = {"encoder": {"stop": 0.5}, "regularizers.gan": {"lr": 1.0e-3, "start": 5}}
    recipe = make_recipe(train={"parts": parts, "ema": 0.9}, gan="test/critic")

    def trained(folder, stops):
        return state_of(run_to_end(lambda: make_task(recipe), stops=stops, folder=folder))

    whole, resumed = trained("whole", ()), trained("resumed", (10, 20))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


@pytest.fixture
def saved(make_recipe, make_task, tmp_path):
    """A folder of a tokenizer saved from seed 5, and it."""
    tokenizer = make_task(make_recipe(), seed=5).tokenizer
    tokenizer.save(tmp_path / "saved")
    return tmp_path / "saved", tokenizer


def from_saved(make_recipe, catalogue, init, **changes):
    data = {**make_recipe().dump(), "init": init, **changes}
    return resolve_recipe(Tree.from_data(data, "test"), catalogue)


def test_training_starts_from_a_saved_tokenizer(saved, make_recipe, make_task, catalogue):
    folder, tokenizer = saved
    task = make_task(from_saved(make_recipe, catalogue, str(folder)))
    for name, tensor in tokenizer.state_dict().items():
        assert torch.equal(task.tokenizer.state_dict()[name], tensor)


def test_parts_that_are_not_taken_start_from_the_seed(saved, make_recipe, make_task, catalogue):
    folder, tokenizer = saved
    init = {"folder": str(folder), "parts": ["encoder", "quantizer"]}
    task, fresh = make_task(from_saved(make_recipe, catalogue, init)), make_task(make_recipe())
    for name, tensor in task.tokenizer.state_dict().items():
        origin = fresh.tokenizer if name.startswith("decoder.") else tokenizer
        assert torch.equal(tensor, origin.state_dict()[name])


def test_another_part_is_not_taken_over(saved, make_recipe, make_task, catalogue):
    folder, _ = saved
    with pytest.raises(TokzooError, match=r"init.parts: quantizer is 'vq' there and 'fsq' here; leave it out"):
        from_saved(make_recipe, catalogue, str(folder), quantizer="fsq")
    larger = from_saved(make_recipe, catalogue, str(folder), quantizer={"use": "vq", "codes": 32, "dim": 4})
    with pytest.raises(TokzooError, match=r"init: quantizer of .* is not that of this recipe.*codebook.*16"):
        make_task(larger)
