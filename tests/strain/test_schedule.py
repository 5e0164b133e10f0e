"""A schedule with parts: the encoder learns in the first half alone, the adversary at a rate of its own."""

import torch

QUANTIZER = {"quantizer": "tokzoo-testing/nearest"}
GAN = {"gan": {"use": "patchgan", "channels": 4, "layers": 1}}
ORDINARY = {"schedule": "constant", "lr": 1.0e-3}
PARTS = {"encoder": {"stop": 0.5}, "regularizers.gan": {"lr": 4.0e-3}}


def test_the_encoder_rests_and_the_adversary_has_its_own_rate(lab):
    lab = lab()

    def train(steps, **parts):
        train = {"tokenizer": {**ORDINARY, "parts": parts}}
        return lab.tokenizer(steps, **QUANTIZER, regularizers=GAN, train=train).state_dict()

    def moved(first, second, part):
        return any(not torch.equal(tensor, second[name]) for name, tensor in first.items() if name.startswith(part))

    half, whole = train(2, **{"regularizers.gan": {"lr": 4.0e-3}}), train(4, **PARTS)
    assert not moved(half, whole, "encoder")
    assert moved(half, whole, "decoder")
    assert moved(half, whole, "quantizer")
    assert moved(half, train(2), "decoder")  # it met another adversary
