import json

import pytest
import torch

from tokzoo import Diverged
from tokzoo.data.run_folder import CHECKPOINT
from tokzoo.training.checkpoint import Checkpoint
from tokzoo.training.loop import Interrupted

# Unquantized for 12 steps, then k-means and revival; a critic from step 4 on. All of it before a stop and after.
VQ = {"use": "vq", "codes": 16, "dim": 4, "warmup": 12, "kmeans": True, "revive": {"threshold": 0.5, "decay": 0.5}}
EVERYTHING = {
    "real": True,
    "quantizer": VQ,
    "entropy": {"use": "entropy", "weight": 0.01},
    "gan": {"use": "test/critic", "start": 4, "weight": 0.1},
    "train": {"ema": 0.9, "warmup": 0.2},
}


def lines(trainer):
    """The log, without what the clock decides."""
    text = (trainer.context.folder / "events.jsonl").read_text()
    return [{**json.loads(line), "images_per_s": None} for line in text.splitlines()]


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_resumed_is_bit_exact(make_recipe, make_task, run_to_end, state_of):
    def task():
        return make_task(make_recipe(**EVERYTHING))

    straight = run_to_end(task, folder="straight")
    resumed = run_to_end(task, folder="resumed", stops=(10, 20))
    tensors, events = state_of(straight), lines(straight)
    assert_same(tensors, state_of(resumed))
    assert events == lines(resumed)
    assert [event["step"] for event in events] == [10, 20, 30]
    # What there was to restore:
    for part in (
        "usage",
        "reservoir.ring",
        "codebook",
        "gan.net.1.running_mean",
        "gan.net.0.weight.exp_avg",
        "average",
    ):
        assert any(part in name for name in tensors), part
    assert "entropy.sample" not in events[0]  # unquantized
    assert "entropy.sample" in events[1]
    assert {"gan", "gan.adversary", "gan.adversary.grad_norm"} <= events[0].keys()


def test_resumed_in_bf16_without_average_or_clipping(make_recipe, make_task, run_to_end, state_of):
    def task():
        train = {"precision": "bf16", "clip": None, "schedule": "constant"}
        return make_task(make_recipe(train, quantizer={"use": "fsq", "levels": [4, 4]}))

    straight = run_to_end(task, folder="straight")
    assert_same(state_of(straight), state_of(run_to_end(task, folder="resumed", stops=(10,))))


def test_resumed_ar_is_bit_exact(make_ar_task, run_to_end, state_of, fast_train):
    def task():
        return make_ar_task(fast_train)

    straight = run_to_end(task, config=fast_train, folder="straight")
    resumed = run_to_end(task, config=fast_train, folder="resumed", stops=(10, 20))
    assert_same(state_of(straight), state_of(resumed))
    assert lines(straight) == lines(resumed)


def test_killed_between_log_and_checkpoint(make_recipe, make_task, make_trainer, run_to_end, state_of):
    class Killed(Exception):
        pass

    def report(event):
        if event["step"] == 20:
            raise Killed

    recipe = make_recipe()
    victim = make_trainer(make_task(recipe), report=report, stopping=lambda: False, checkpoint_seconds=0)
    with pytest.raises(Killed):
        victim.run()
    assert [line["step"] for line in lines(victim)] == [10, 20]
    assert Checkpoint.load(victim.context.folder / CHECKPOINT).step == 10
    straight = run_to_end(lambda: make_task(recipe), folder="straight")
    resumed = run_to_end(lambda: make_task(recipe))
    assert lines(resumed) == lines(straight)
    assert_same(state_of(resumed), state_of(straight))


def test_checkpoints_come_by_the_clock(make_recipe, make_task, make_trainer):
    never = make_trainer(make_task(make_recipe()), folder="never", checkpoint_seconds=1000)
    never.run()
    assert not (never.context.folder / CHECKPOINT).exists()
    always = make_trainer(make_task(make_recipe()), folder="always", checkpoint_seconds=0)
    always.run()
    assert Checkpoint.load(always.context.folder / CHECKPOINT).step == 20


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_damaged_checkpoint(make_recipe, make_task, make_trainer, run_to_end, state_of, damage):
    recipe = make_recipe({"ema": 0.9})
    straight = run_to_end(lambda: make_task(recipe), folder="straight")
    trainer = make_trainer(make_task(recipe), stop_at=10)
    with pytest.raises(Interrupted):
        trainer.run()
    path = trainer.context.folder / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "garbage": b"\xff" * 999}[damage])
    anew = run_to_end(lambda: make_task(recipe))
    assert_same(state_of(anew), state_of(straight))
    assert lines(anew) == lines(straight)


def test_checkpoint_of_another_model_is_not_half_loaded(make_recipe, make_task, make_trainer, run_to_end, state_of):
    other = make_recipe(quantizer={"use": "vq", "codes": 32, "dim": 4})
    with pytest.raises(Interrupted):
        make_trainer(make_task(other, seed=5), stop_at=10).run()
    straight = run_to_end(lambda: make_task(make_recipe()), folder="straight")
    assert_same(state_of(run_to_end(lambda: make_task(make_recipe()))), state_of(straight))


def test_same_seed_same_run_other_seed_another(make_recipe, make_task, run_to_end, state_of):
    recipe = make_recipe()
    runs = [run_to_end(lambda s=s: make_task(recipe, seed=s), folder=f"{i}", seed=s) for i, s in enumerate([3, 3, 4])]
    assert_same(state_of(runs[0]), state_of(runs[1]))
    assert lines(runs[0]) == lines(runs[1])
    moved = state_of(runs[2])
    assert not torch.equal(moved["tokenizer.quantizer.codebook"], state_of(runs[0])["tokenizer.quantizer.codebook"])
    assert lines(runs[0]) != lines(runs[2])


def test_diverged_names_term_and_step_and_keeps_the_good_checkpoint(make_recipe, make_task, make_trainer):
    poisoned = make_recipe(poison={"use": "test/poison", "at": 13})
    with pytest.raises(Diverged, match=r"^poison became non-finite at step 13 ") as caught:
        make_trainer(make_task(poisoned), checkpoint_seconds=0).run()
    assert "l1" not in str(caught.value)
    healthy = make_trainer(make_task(make_recipe(poison={"use": "test/poison", "at": 99})))
    checkpoint = Checkpoint.load(healthy.context.folder / CHECKPOINT)
    assert checkpoint.step == 10
    assert all(tensor.isfinite().all() for part in checkpoint.parts.values() for tensor in part.values())
    healthy.run()
    assert [line["step"] for line in lines(healthy)] == [10, 20, 30]


def test_broken_gradient_is_caught_before_a_checkpoint_of_broken_weights(make_recipe, make_task, make_trainer):
    # The last step before a checkpoint: its losses are all finite, the weights after it are not.
    recipe = make_recipe(poison={"use": "test/poison", "at": 9, "gradient_only": True})
    trainer = make_trainer(make_task(recipe), checkpoint_seconds=0)
    with pytest.raises(Diverged, match="grad_norm became non-finite at step 9 "):
        trainer.run()
    assert not (trainer.context.folder / CHECKPOINT).exists()


def test_events(make_recipe, make_task, make_trainer):
    heard = []
    recipe = make_recipe({"warmup": 20, "lr": 1.0}, lr={"use": "l2", "weight": 0.0}, main={"use": "l2", "weight": 0.0})
    trainer = make_trainer(make_task(recipe), steps=25, report=heard.append, stopping=lambda: False)
    trainer.run()
    assert [event["step"] for event in heard] == [10, 20, 25]  # and the rest of the budget
    assert [event["lr"] for event in heard] == pytest.approx([0.5, 1.0, 0.1])  # not the loss of role "lr"
    assert all(event["total"] == 25 and event["images_per_s"] > 0 for event in heard)
    assert heard[0].keys() == {
        *("step", "total", "lr", "images_per_s", "loss", "grad_norm"),
        *("l1", "main", "quantizer.commitment", "quantizer.codebook"),
        *("quantizer.usage", "quantizer.perplexity", "quantizer.dead"),
    }


def test_the_average_is_judged(make_recipe, make_task, run_to_end, state_of):
    plain = state_of(run_to_end(lambda: make_task(make_recipe()), folder="plain"))
    trainer = run_to_end(lambda: make_task(make_recipe({"ema": 0.9})), folder="averaged")
    state = state_of(trainer)
    weights = {name: tensor for name, tensor in state.items() if f"average {name}" in state}
    assert weights.keys() == {name for name, _ in trainer.task.module.named_parameters() if "tokenizer." in name}
    assert all(torch.equal(tensor, state[f"average {name}"]) for name, tensor in weights.items())
    assert not torch.equal(weights["tokenizer.quantizer.codebook"], plain["tokenizer.quantizer.codebook"])
    assert not trainer.task.module.training


def test_an_adversary_called_main_is_no_other_optimizer(make_recipe, make_task, make_trainer):
    trainer = make_trainer(make_task(make_recipe(main={"use": "test/critic"})), stop_at=10)
    with pytest.raises(Interrupted):
        trainer.run()
    assert "tokenizer.quantizer.codebook" in trainer.optimizer.parameters
    assert trainer.adversaries["main"].parameters.keys().isdisjoint(trainer.optimizer.parameters)
