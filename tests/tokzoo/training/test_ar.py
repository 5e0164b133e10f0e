import torch

from tokzoo import Progress


def test_every_batch_draws_views_anew(make_ar_task, fast_train):
    task = make_ar_task(fast_train)
    seen = []
    task.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    torch.manual_seed(0)
    for step in range(6):  # two epochs of three batches
        task.losses(task.batch(Progress(step, 30)), Progress(step, 30))
    codes, labels = (torch.cat([inputs[i] for inputs in seen]) for i in (0, 1))
    assert codes.dtype == torch.int64
    found = [
        (view, image)
        for row in codes
        for view in (0, 1)
        for image in range(24)
        if row.equal(task_row(task, view, image))
    ]
    assert sorted(image for _, image in found[:24]) == list(range(24))
    assert 5 < sum(view for view, _ in found[:24]) < 19
    assert {image: view for view, image in found[:24]} != {image: view for view, image in found[24:]}
    assert labels.tolist() == [image % 10 for _, image in found]


def task_row(task, view, image):
    return task.codes[view, image].long()


def test_terms(make_ar_task, fast_train):
    def first_step(**options):
        task, progress = make_ar_task(fast_train, **options), Progress(0, 30)
        return task.losses(task.batch(progress), progress)

    step = first_step()
    assert step.loss.requires_grad
    assert step.terms.keys() == {"nats_per_token"}
    assert not step.terms["nats_per_token"].requires_grad
    torch.testing.assert_close(step.terms["nats_per_token"], step.loss.detach())
    assert first_step(use="test/latent").terms == {}


def test_initial_weights_are_the_seed_s(make_ar_task, fast_train):
    weights = [make_ar_task(fast_train, seed=seed).module.tokens.weight for seed in (0, 0, 1)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])
