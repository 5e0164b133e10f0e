"""One training step: who is moved by what, what training must leave alone, and that it never waits for the device."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tokzoo import Progress
from tokzoo.training.meter import Meter

CRITIC = {"use": "test/critic", "start": 2, "weight": 0.5}


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.task.module.named_parameters()}


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def steps(trainer, count, start=0):
    meter = Meter()
    trainer._train_mode()
    for step in range(start, start + count):
        trainer._step(Progress(step, trainer.budget.steps), meter)
    return meter


@pytest.fixture
def adversarial(make_recipe, make_task, make_trainer):
    return make_trainer(make_task(make_recipe(gan=CRITIC)))


def test_each_optimizer_is_moved_by_its_own_step_alone(adversarial):
    changes = {}

    def watched(name, optimizer):
        step = optimizer.step

        def watching(*arguments):
            before = weights(adversarial)
            norm = step(*arguments)
            changes[name] = moved(before, weights(adversarial))
            return norm

        return watching

    steps(adversarial, 2)
    adversarial.optimizer.step = watched("tokenizer", adversarial.optimizer)
    adversarial.adversaries["gan"].step = watched("critic", adversarial.adversaries["gan"])
    steps(adversarial, 1, start=2)
    names = set(weights(adversarial))
    critic = {name for name in names if name.startswith("regularizers.gan.net.")}
    # A bias before batch norm has no gradient worth speaking of, but it has one.
    assert changes == {"tokenizer": names - critic, "critic": critic}


def test_gradients_of_one_side_do_not_reach_the_other(adversarial):
    gradients = {}
    steps(adversarial, 2)
    add, critic = adversarial.adversaries["gan"].add, adversarial.adversaries["gan"].parameters
    tokenizer = adversarial.optimizer.parameters

    def watching(loss):
        gradients["critic, by the tokenizer's loss"] = [p.grad for p in critic.values() if p.grad is not None]
        kept = {name: p.grad.clone() for name, p in tokenizer.items() if p.grad is not None}
        add(loss)
        gradients["tokenizer, by the critic's loss"] = [n for n in kept if not torch.equal(kept[n], tokenizer[n].grad)]

    adversarial.adversaries["gan"].add = watching
    steps(adversarial, 1, start=2)
    assert gradients == {"critic, by the tokenizer's loss": [], "tokenizer, by the critic's loss": []}
    assert all(p.requires_grad for p in critic.values())


def test_closed_gate(adversarial):
    before = weights(adversarial)
    terms = steps(adversarial, 2).read()
    assert not {name for name in terms if name.startswith("gan")}
    critic = adversarial.adversaries["gan"].parameters
    assert moved(before, weights(adversarial)).isdisjoint(critic)
    assert {"gan", "gan.adversary", "gan.adversary.grad_norm"} <= steps(adversarial, 1, start=2).read().keys()
    assert moved(before, weights(adversarial)) >= critic.keys()


def test_weight_of_the_critic_scales_what_the_tokenizer_learns_not_what_is_logged(make_recipe, make_task, make_trainer):
    logged, learned = [], []
    for weight in (0.0, 0.5):
        trainer = make_trainer(make_task(make_recipe(gan={**CRITIC, "start": 0, "weight": weight})))
        logged.append(steps(trainer, 1).read())
        learned.append(weights(trainer))
    assert logged[0]["gan"] == logged[1]["gan"]
    assert logged[1]["loss"] - logged[0]["loss"] == pytest.approx(0.5 * logged[0]["gan"], rel=1e-4)
    assert moved(*learned)


def test_teacher_stays_as_it_was(make_recipe, make_task, make_trainer):
    trainer = make_trainer(make_task(make_recipe(distill={"use": "test/distill"})))
    teacher = trainer.task.objective.regularizers["distill"].teacher
    before = copy.deepcopy(teacher.state_dict())
    steps(trainer, 2)
    assert not any(module.training for module in teacher.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    parts = trainer._parts()
    assert "regularizers.distill.head.weight" in parts["module"]
    assert "regularizers.distill.teacher.net.1.weight" not in parts["module"]
    assert "regularizers.distill.teacher.net.1.weight.exp_avg" not in parts["optimizer"]


def test_parameters_a_quantizer_moves_by_itself_are_kept(make_recipe, make_task, run_to_end, state_of):
    def task():
        return make_task(make_recipe(quantizer={"use": "test/averaged"}))

    name = "tokenizer.quantizer.codebook"
    straight = state_of(run_to_end(task, folder="straight"))
    assert not torch.equal(straight[name], task().tokenizer.quantizer.codebook)
    assert torch.equal(straight[name], state_of(run_to_end(task, stops=(10,)))[name])


def test_an_ar_model_leaves_the_quantizer_it_holds_alone(make_ar_task, make_trainer, fast_train):
    trainer = make_trainer(make_ar_task(fast_train, use="test/latent"), config=fast_train)
    quantizer = trainer.task.module.quantizer
    before = weights(trainer)
    steps(trainer, 3)
    assert moved(before, weights(trainer)) == {"head.weight", "head.bias"}
    assert not quantizer.training
    assert not any("quantizer" in name for name in trainer.optimizer.state())


def test_rows_a_quantizer_overwrites_start_anew(make_recipe, make_task, make_trainer):
    quantizer = {"use": "vq", "codes": 16, "dim": 4, "revive": {"threshold": 0.5, "decay": 0.5}}
    trainer = make_trainer(make_task(make_recipe({"ema": 0.9}, quantizer=quantizer)))
    name = "tokenizer.quantizer.codebook"
    codebook, after_step, changes = trainer.optimizer.parameters[name], trainer.task.after_step, []
    trainer.task.after_step = lambda *arguments: changes.append(after_step(*arguments)) or changes[-1]
    lived = 0
    for step in range(12):
        steps(trainer, 1, start=step)
        ((change,), average) = changes[-1], trainer.average.average[name]
        moments = [trainer.optimizer.state()[f"{name}.{moment}"] for moment in ("exp_avg", "exp_avg_sq")]
        assert all((moment[change.rows] == 0).all() for moment in moments)
        assert torch.equal(average[change.rows], codebook[change.rows])
        # Of the rows that were left alone, those with a past show it.
        others = ~change.rows & (moments[1] > 0).all(1)
        assert (moments[0][others] != 0).any(1).all()
        assert step == 0 or (average[others] != codebook[others]).any(1).all()
        lived += int(others.sum() * change.rows.sum() > 0)
    assert lived > 3  # steps in which there were both kinds


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision(make_recipe, make_task, make_trainer, precision, dtype):
    recipe = make_recipe({"precision": precision}, gan={"use": "test/critic"})
    trainer = make_trainer(make_task(recipe))
    seen = []
    trainer.task.tokenizer.encoder.register_forward_hook(lambda *call: seen.append(call[2].latent.dtype))
    trainer.task.objective.regularizers["gan"].net.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    terms = steps(trainer, 1)
    assert seen == [dtype] * 4  # the critic sees reconstructions, then images and reconstructions in its own step
    assert all(p.dtype == torch.float32 for p in trainer.task.module.parameters())
    assert all(p.grad.dtype == torch.float32 for p in trainer.optimizer.parameters.values())
    assert terms.read()["loss"] > 0


def listed(arguments):
    """The indices of an indexing operation."""
    return next((argument for argument in arguments if isinstance(argument, list | tuple)), ())


class Recorder(TorchDispatchMode):
    """Counts the operations by which Python learns a tensor's content, or hands one over: on a GPU each one waits."""

    WAITING = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique", "lift_fresh")

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).split(".")[1]
        by_mask = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in listed(args))
        if by_mask or any(word in name for word in self.WAITING):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


REVIVING = {"use": "vq", "codes": 16, "dim": 4, "warmup": 2, "kmeans": True, "revive": {}}


@pytest.mark.parametrize(
    "quantizer", [REVIVING, {**REVIVING, "rotation": True}, {"use": "fsq", "levels": [4, 4]}], ids=["vq", "rot", "fsq"]
)
def test_no_step_waits_for_the_device(make_recipe, make_task, make_trainer, quantizer):
    train = {"ema": 0.9, "precision": "bf16" if "rotation" in quantizer else "fp32"}
    recipe = make_recipe(train, quantizer, real=True, entropy="entropy", gan={"use": "test/critic"})
    trainer = make_trainer(make_task(recipe))
    steps(trainer, 4)
    with Recorder() as recorder:
        meter = steps(trainer, 2, start=4)
    assert recorder.seen == []
    with recorder:
        meter.read()
    assert len(recorder.seen) <= 1  # tolist() reads memory directly on a CPU


def test_no_ar_step_waits_for_the_device(make_ar_task, make_trainer, fast_train):
    trainer = make_trainer(make_ar_task(fast_train), config=fast_train)
    with Recorder() as recorder:
        steps(trainer, 2)
    assert recorder.seen == []


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.index_put_((x > 0,), x.sum()),
        lambda x: x.unique(),
        lambda x: x.nonzero(),
        lambda x: torch.tensor([1.0]),
        lambda x: torch.equal(x, x + 1),
    ],
)
def test_the_recorder_sees_what_waits(wait):
    with Recorder() as recorder:
        wait(torch.ones(3))
    assert recorder.seen


def test_a_batch_in_parts_gives_the_gradients_of_the_whole(make_recipe, make_task, make_trainer):
    """For terms that are means over images; the batch of 8 in 3 unequal parts."""
    found = []
    for parts in (1, 3):
        trainer = make_trainer(make_task(make_recipe(train={"clip": None})), accumulate=parts)
        terms = steps(trainer, 1).read()
        gradients = {name: p.grad.clone() for name, p in trainer.task.module.named_parameters()}
        means = {name: torch.tensor(value) for name, value in terms.items() if name in ("loss", "grad_norm", "l1")}
        found.append((means, gradients))
    torch.testing.assert_close(found[1], found[0])


def test_the_quantizer_sees_the_latents_of_all_parts(make_recipe, make_task, make_trainer):
    codebooks = []
    for parts in (1, 4):
        trainer = make_trainer(make_task(make_recipe(quantizer="test/averaged")), accumulate=parts)
        steps(trainer, 1)
        codebooks.append(trainer.task.tokenizer.quantizer.codebook)
    torch.testing.assert_close(*codebooks)


def test_an_adversary_answers_every_part(make_recipe, make_task, make_trainer):
    trainer = make_trainer(make_task(make_recipe(gan={**CRITIC, "start": 0})), accumulate=2)
    before = weights(trainer)
    assert {"gan", "gan.adversary", "gan.adversary.grad_norm"} <= steps(trainer, 1).read().keys()
    assert trainer.adversaries["gan"].parameters.keys() <= moved(before, weights(trainer))


def test_tokenizer_and_ar_model_share_no_random_stream(make_recipe, make_task, make_ar_task, fast_train, make_trainer):
    drawn = []
    for task, config in ((make_task(make_recipe()), None), (make_ar_task(fast_train), fast_train)):
        task.before_step = lambda progress: drawn.append(torch.rand(4))
        steps(make_trainer(task, config), 1)
    assert not torch.equal(*drawn)
