"""Our encoders and decoders give what the published code gives, from the same weights (fp32, CPU).

Bounds are absolute and those measured for a clean rewrite: an error of 1e-3 in the image would hide a wrong epsilon.
"""

import pytest
import torch
import torch.nn.functional as F
from original_layout import golden_files, load


@pytest.fixture(scope="module", params=golden_files(), ids=lambda path: path.stem)
def golden(request):
    return load(request.param)


@pytest.fixture(scope="module")
def encoded(golden):
    """What the encoder gives, and its transformer's last norm."""
    kept = {}
    handle = golden.encoder.transformer.ln_post.register_forward_hook(lambda *call: kept.update(norm=call[2]))
    with torch.no_grad():
        out = golden.encoder(golden.images)
    handle.remove()
    return out, kept["norm"]


@pytest.fixture(scope="module")
def decoded(golden):
    with torch.no_grad():
        return golden.decoder(golden.tensors["eval.quant"].flatten(2).transpose(1, 2))


def assert_near(ours, golden, name, bound):
    """Compare with a stored tensor; the large file keeps every 97th value of an image only."""
    stored = golden.tensors[name].flatten(1)
    ours = ours.flatten(1)
    if ours.shape != stored.shape:
        ours = ours[:, ::97]
    torch.testing.assert_close(ours, stored, atol=bound, rtol=0)


def assert_images_near(images, stored, bound):
    stride = images.shape[-1] // stored.shape[-1]
    torch.testing.assert_close(images[:, :, ::stride, ::stride], stored, atol=bound, rtol=0)


def test_encoder(golden, encoded):
    out, norm = encoded
    assert_near(out.feature_map, golden, "eval.spatial", 2e-5)
    assert_near(norm.transpose(1, 2), golden, "eval.enc_feat", 2e-5)
    assert_near(out.latent.transpose(1, 2), golden, "eval.z_pre", 2e-5)


def test_codes(golden, encoded):
    codebook = F.normalize(golden.weight("quantize.embedding.weight", (golden.header["codebook_size"], 8)), dim=1)
    codes = (F.normalize(encoded[0].latent, dim=-1) @ codebook.T).argmax(-1)
    assert torch.equal(codes.flatten(), golden.tensors["eval.indices"].long())


def test_decoder(golden, decoded):
    assert_near(decoded.hidden["map"].transpose(1, 2), golden, "eval.rec_spatial", 1e-5)
    assert_images_near(decoded.images, golden.tensors["eval.image"], 3e-5)


def test_tap_is_the_stream_of_the_distillation_head(golden, decoded):
    """The head is not ours, but fed our tap it must give the stored features."""
    stream = decoded.hidden[golden.header["distill_depth"]]
    if "eval.dec_feat" in golden.tensors:
        assert_near(stream, golden, "eval.dec_feat", 1e-5)
    prefix = "s2ddecoder" if golden.header["two_d"] else "s1to2decoder"
    width, out = golden.header["width"], golden.header["out_inner_dim"]
    for i, (columns, rows) in enumerate([(width, 4 * width), (4 * width, 4 * width), (4 * width, out)]):
        weight = golden.weight(f"{prefix}.distill_mlp.{2 * i}.weight", (rows, columns))
        stream = F.linear(stream, weight, golden.weight(f"{prefix}.distill_mlp.{2 * i}.bias", (rows,)))
        stream = F.silu(stream) if i < 2 else stream
    stored = golden.tensors["eval.inner_feat"]
    torch.testing.assert_close(stream[:, :: stream.shape[1] // stored.shape[1]], stored, atol=1e-5, rtol=0)


def test_direct_decoding_of_the_feature_map(golden, encoded):
    stored = golden.tensors.get("train.rot1.recon_direct")
    if stored is not None:
        with torch.no_grad():
            images = golden.decoder.decode_feature_map(encoded[0].feature_map).images
        torch.testing.assert_close(images, stored, atol=3e-5, rtol=0)
