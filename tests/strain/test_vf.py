import pytest

import tokzoo

SIZES = {"size": None, "width": 8, "layers": 2, "heads": 2, "channels": 4, "multipliers": [1, 1, 1, 1], "groups": 2}
ENCODER = {"use": "gigatok-vit", **SIZES, "map_channels": 8, "blocks": 1}
RECIPE = {"encoder": ENCODER, "quantizer": "tokzoo-testing/nearest"}
GREY = tokzoo.ImageSpec(1, (32, 32))
VF = {"use": "strain/vf", "teacher": "fashion"}


def test_the_latent_and_a_layer_of_the_encoder_are_aligned_with_one_teacher(lab):
    lab = lab("vf", image=GREY)
    regularizers = {"latent": {**VF, "weight": 0.1}, "layer": {**VF, "tap": 1}}
    recipe = lab.recipe(**RECIPE, regularizers=regularizers)
    assert lab.solve(recipe).encoder_hidden == {1: tokzoo.HiddenSpec((4, 4), 8)}
    objective = lab.task(recipe).objective
    assert objective.by_role["latent"].network is objective.by_role["layer"].network
    lab.tokenizer(**RECIPE, regularizers=regularizers)
    terms = lab.events[-1]
    assert terms["latent.factor"] > 0
    assert "layer.factor" not in terms
    assert {"latent.cosine", "latent.distance", "layer.cosine", "layer.distance"} <= terms.keys()


def test_an_encoder_that_serves_no_such_layer_is_refused(lab):
    lab = lab("vf", image=GREY)
    with pytest.raises(tokzoo.Refusal, match=r"encoder → regularizers\.layer: encoder 'gigatok-vit' has 2 .*not 3"):
        lab.solve(lab.recipe(**RECIPE, regularizers={"layer": {**VF, "tap": 3}}))
