import torch

from tokzoo import Progress


def test_groups(make_recipe, make_task):
    task = make_task(make_recipe(gan={"use": "test/critic"}, distill={"use": "test/distill"}))
    names = {name for name, _ in task.module.named_parameters()}
    critic = {name for name in names if name.startswith("regularizers.gan.net.")}
    assert task.adversaries()["gan"].parameters.keys() == critic
    assert task.group().parameters.keys() == names - critic
    assert task.group().averaged == {name for name in names if name.startswith("tokenizer.")}


def test_initial_weights_are_the_seed_s_whatever_shapes_the_training(make_recipe, make_task):
    plain = make_task(make_recipe()).tokenizer.state_dict()
    shaped = make_task(make_recipe(gan={"use": "test/critic"})).tokenizer.state_dict()
    other = make_task(make_recipe(), seed=1).tokenizer.state_dict()
    assert all(torch.equal(tensor, shaped[name]) for name, tensor in plain.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in plain.items())


def test_batches_follow_seed_and_step(make_recipe, make_task):
    def images(step, seed=0, draw=0):
        torch.manual_seed(draw)
        return make_task(make_recipe(), seed=seed).batch(Progress(step, 30))[0]

    assert torch.equal(images(3), images(3))
    assert not torch.equal(images(3), images(4))
    assert not torch.equal(images(3), images(3, seed=1))


def test_half_of_the_images_are_flipped(make_recipe, make_task):
    task = make_task(make_recipe())
    torch.manual_seed(0)
    for step in range(4):
        seen, _ = task.batch(Progress(step, 30))
        plain, _ = task.ahead.batch(step)
        same = (seen == plain).flatten(1).all(1)
        assert torch.equal(torch.where(same[:, None, None, None], plain, plain.flip(-1)), seen)
        assert 0 < same.sum() < 8
