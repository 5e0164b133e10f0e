import pytest

import tokzoo

RECIPE = {"quantizer": "tokzoo-testing/nearest", "regularizers": {"eq": "strain/eq"}}


def test_the_transformed_latent_is_a_view_that_image_terms_compare(lab):
    lab = lab("eq")
    lab.tokenizer(**RECIPE, decoder="strain/conv")
    terms = lab.events[-1]
    assert terms["l2.moved"] > 0
    assert terms["loss"] > terms["l2"] + terms["l2.moved"]


def test_a_decoder_of_one_size_is_refused_with_one_that_fits(lab):
    lab = lab("eq")
    wanted = "needs the capability 'decoder.strain/any-square'.*provided by decoder 'strain/conv'"
    with pytest.raises(tokzoo.Refusal, match=wanted):
        lab.solve(lab.recipe(**RECIPE))
