import torch

DUAL = {"use": "strain/dual", "codes": 16, "semantic": 4, "pixel": 2, "pixel_distance": 0.5}


def test_one_index_stands_for_both(lab):
    lab = lab("dual")
    tokenizer = lab.tokenizer(quantizer=DUAL, regularizers={"entropy": "entropy"})
    assert tokenizer.chain.codes.vocab == (16,)
    quantizer, latent = tokenizer.quantizer, tokenizer.encoder(lab.images).latent
    semantic, pixel = (torch.nn.functional.normalize(t, dim=-1).flatten(0, 1) for t in latent.split([4, 2], -1))
    books = [torch.nn.functional.normalize(book, dim=-1) for book in (quantizer.semantic, quantizer.pixel)]
    joint = torch.cdist(semantic, books[0]).square() + 0.5 * torch.cdist(pixel, books[1]).square()
    assert joint.argmin(-1).equal(tokenizer.encode(lab.images).flatten())


def test_gpt_learns_it(lab):
    lab = lab("dual")
    gpt = {"use": "gpt", "size": None, "layers": 1, "heads": 1, "width": 8, "ffn_multiple": 8}
    lab.ar(lab.tokenizer(quantizer=DUAL), gpt)


def test_it_keeps_to_the_kit(lab):
    assert not lab("dual").conformance("quantizer", "strain/dual")
