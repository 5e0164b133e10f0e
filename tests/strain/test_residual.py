import pytest

import tokzoo

EMA = {"use": "vq", "codes": 8, "dim": 4, "l2_norm": False, "ema": {}, "revive": {}}


def test_levels_of_a_codebook(lab):
    lab = lab("residual")
    inner = {"use": "vq", "codes": 16, "dim": 4, "l2_norm": False}
    quantizer = {"use": "strain/residual", "inner": inner, "levels": 3}
    tokenizer = lab.tokenizer(quantizer=quantizer, regularizers={"entropy": "entropy"})
    assert str(tokenizer.chain.codes) == "4×4 codes of 16×16×16"
    assert "assignment" in tokenizer.chain.provides
    assert lab.events[-1].keys() >= {"entropy.sample", "entropy.codebook", "quantizer.commitment", "quantizer.2.usage"}
    latent = tokenizer.encoder(lab.images).latent
    assert len(tokenizer.quantizer.assignment(latent)) == 3
    left = latent - tokenizer.quantizer(latent).latent
    assert left.norm() < latent.norm()


def test_inner_quantizers_live_through_training(lab):
    lab = lab("residual")
    recipe = lab.recipe(quantizer={"use": "strain/residual", "inner": EMA, "levels": 2})
    before = [level.codebook.clone() for level in lab.task(recipe).tokenizer.quantizer.levels]
    tokenizer = lab.tokenizer(quantizer=recipe.quantizer.dump())
    assert all(not level.codebook.equal(was) for level, was in zip(tokenizer.quantizer.levels, before, strict=True))


def test_a_continuous_inner_quantizer_is_refused(lab):
    lab = lab("residual")
    deep = {"use": "strain/residual", "inner": {"use": "strain/residual", "inner": EMA}}
    with pytest.raises(tokzoo.Refusal, match="encoder → quantizer: quantizer 'strain/residual' repeats a quantizer of"):
        lab.solve(lab.recipe(quantizer=deep))


def test_an_inner_quantizer_of_another_shape_is_refused(lab):
    lab = lab("residual", "gumbel")
    inner = {"use": "strain/gumbel", "codes": 8, "dim": 5}
    with pytest.raises(tokzoo.Refusal, match="its inner quantizer hands on another shape"):
        lab.solve(lab.recipe(quantizer={"use": "strain/residual", "inner": inner}))


def test_it_keeps_to_the_kit(lab):
    assert not lab("residual").conformance("quantizer", "strain/residual", ranks=True)
