import torch


def test_groups_of_any_quantizer(lab):
    lab = lab("product")
    quantizer = {"use": "strain/product", "groups": 3, "inner": {"use": "fsq", "levels": [4, 4]}}
    tokenizer = lab.tokenizer(quantizer=quantizer, regularizers={"entropy": "entropy"})
    assert tokenizer.chain.latent.channels == 6
    assert tokenizer.chain.codes.vocab == (16, 16, 16)
    assert len(tokenizer.quantizer.assignment(torch.zeros(1, 16, 6))) == 3


def test_groups_of_residual_levels(lab):
    """HiFi-Codec's group-residual quantizer (arXiv 2305.02765): one sketch within the other."""
    lab = lab("product", "residual")
    residual = {"use": "strain/residual", "levels": 2, "inner": {"use": "vq", "codes": 8, "dim": 4}}
    quantizer = {"use": "strain/product", "groups": 2, "inner": residual}
    tokenizer = lab.tokenizer(quantizer=quantizer, regularizers={"entropy": "entropy"})
    assert tokenizer.chain.codes.vocab == (8, 8, 8, 8)
    assert "quantizer.1.0.usage" in lab.events[-1]


def test_it_keeps_to_the_kit(lab):
    assert not lab("product").conformance("quantizer", "strain/product")
