"""VQGAN's adaptive weight (arXiv 2012.09841, equation 7): an option of the first-party discriminators."""

SIZES = {"size": None, "width": 8, "layers": 1, "heads": 2, "channels": 4, "multipliers": [1, 1, 1], "groups": 2}
BACKBONE = {"use": "gigatok-vit", **SIZES, "map_channels": 8, "blocks": 1}
GAN = {"gan": {"use": "patchgan", "channels": 4, "layers": 1, "adaptive": True}}
QUANTIZER = {"quantizer": "tokzoo-testing/nearest"}


def test_its_weight_follows_from_gradients_at_the_decoders_last_layer(lab):
    lab = lab()
    lab.tokenizer(**QUANTIZER, decoder=BACKBONE, regularizers=GAN)
    assert lab.events[-1]["gan.factor"] > 0
    assert lab.events[-1]["gan.adversary.loss"] > 0
