"""The DINO discriminator on a real transformer with weights of our own making, since none can be downloaded here."""

from types import SimpleNamespace

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from tests.conftest import told_offline
from tokzoo import Decoded, Encoded, ImageSpec, Pass, Progress, Quantized, Refusal, TokzooError, View
from tokzoo.assembly.objective import detached
from tokzoo_losses.adversary_configs import DinoDiscConfig
from tokzoo_losses.batch_norm_local import BatchNormLocal
from tokzoo_losses.dinodisc import DinoDiscriminator, framed
from tokzoo_losses.spectral_norm import spectral_norm

MODEL = "vit_tiny_patch16_224"
SIDE, TOKENS = 48, 9
READOUTS = (0, 1, 3)


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    network = timm.create_model(MODEL, pretrained=False, img_size=SIDE)
    for parameter in network.parameters():  # biases, norms and positions too, so that each of them shows
        nn.init.normal_(parameter, std=0.05) if parameter.ndim < 2 else parameter.data.mul_(1.5)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def weights(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(original.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def make(weights):
    def make(channels=3, size=SIDE, **fields):
        fields = {"model": MODEL, "weights": weights, "image_size": SIDE, "readouts": READOUTS, **fields}
        torch.manual_seed(0)
        chain = SimpleNamespace(image=ImageSpec(channels, (size, size)))
        made = DinoDiscriminator(DinoDiscConfig(**fields), chain).train()
        made.start()
        return made

    return make


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def state_of(images, ours):
    decoded, latent = Decoded(ours), images.flatten(2)
    views = {"main": View(decoded, images)}
    return Pass(None, images, None, Progress(0, 1), Encoded(latent), Quantized(latent, None), decoded, views)


def test_what_the_heads_read(make, original, pictures):
    std, mean = torch.tensor([0.229, 0.224, 0.225]), torch.tensor([0.485, 0.456, 0.406])
    pixels = pictures * (0.5 / std).view(3, 1, 1) + ((0.5 - mean) / std).view(3, 1, 1)
    wanted = []
    original.blocks[0].register_forward_pre_hook(lambda _, given: wanted.append(given[0]))
    for number in READOUTS[1:]:
        original.blocks[number - 1].register_forward_hook(lambda *call: wanted.append(call[2]))
    acts = [block.mlp.act for block in original.blocks]
    for block in original.blocks:
        block.mlp.act = nn.GELU(approximate="tanh")
    original.forward_features(pixels)
    for block, act in zip(original.blocks, acts, strict=True):
        block.mlp.act = act
    ours = make().network(pictures)
    assert [x.shape for x in ours] == [(4, 192, TOKENS)] * 3
    for x, tokens in zip(ours, wanted, strict=True):
        torch.testing.assert_close(x, (tokens[:, 1:] + tokens[:, :1]).transpose(1, 2), atol=1e-4, rtol=1e-4)


def test_keys_have_no_bias_and_the_rest_is_the_files(make, original):
    attention, theirs = make().network.vit.blocks[1].attn, original.blocks[1].attn
    queries, keys, values = attention.qkv.bias.view(3, -1)
    assert not keys.any()
    assert torch.equal(queries, theirs.qkv.bias.view(3, -1)[0])
    assert torch.equal(values, theirs.qkv.bias.view(3, -1)[2])
    assert torch.equal(attention.proj.weight, theirs.proj.weight)
    assert "state_dict" not in make().network.vit.pretrained_cfg


def test_heads_by_hand(make, pictures):
    made = make(kernel=5, group=2).eval()  # in eval mode the norms of the weights stand still
    logits = made.logits(pictures)
    assert logits.shape == (4, len(READOUTS) * TOKENS)

    def normed(x, norm):
        parts = x.split(2)
        return torch.cat([(p - p.mean((0, 2), True)) / (p.var((0, 2), correction=0, keepdim=True) + 1e-6).sqrt()
                          for p in parts]) * norm.weight[:, None] + norm.bias[:, None]  # fmt: skip

    def convolved(x, layer, pad):
        around = torch.cat([x[..., x.shape[-1] - pad :], x, x[..., :pad]], -1)
        return F.conv1d(around, layer.weight, layer.bias)

    for number, tokens in enumerate(made.network(pictures)):
        first, residual, last = made.heads[number]
        before = F.leaky_relu(normed(convolved(tokens, first[0], 0), first[1]), 0.2)
        within = F.leaky_relu(normed(convolved(before, residual.inner[0], 2), residual.inner[1]), 0.2)
        wanted = F.conv1d((before + within) / 2**0.5, last.weight, last.bias)[:, 0]
        torch.testing.assert_close(logits.unflatten(1, (3, TOKENS))[:, number], wanted, atol=1e-4, rtol=1e-4)


def test_weights_of_the_heads_have_norm_one(make, pictures):
    made = make()
    for _ in range(30):
        made.logits(pictures[:1])
    for head in made.heads:
        for layer in (head[0][0], head[1].inner[0], head[2]):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.filterwarnings("ignore:.*spectral_norm")
def test_spectral_norm_as_torch_has_it():
    ours, theirs = nn.Conv1d(6, 5, 3), nn.Conv1d(6, 5, 3)
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = spectral_norm(ours), nn.utils.spectral_norm(theirs)
    held = ours.parametrizations.weight
    theirs.weight_u.copy_(held[0].left)
    theirs.weight_v.copy_(held[0].right)
    x = torch.randn(2, 6, 7)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
    for layer in (ours, theirs):
        (layer(x) + layer(-x)).square().sum().backward()  # used twice before one backward pass
    torch.testing.assert_close(held.original.grad, theirs.weight_orig.grad)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.weight.dtype == torch.float32
    ours.eval()
    assert torch.equal(ours.weight, ours.weight)


@pytest.mark.parametrize(("batch", "group", "sizes"), [(4, 8, [4]), (16, 8, [8, 8]), (9, 8, [3] * 3), (10, 4, [2] * 5)])
def test_local_batch_norm(batch, group, sizes):
    norm = BatchNormLocal(6, group)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(batch, 6, 5) * 3 + 2
    wanted = [F.batch_norm(part, None, None, norm.weight, norm.bias, True, eps=1e-6) for part in x.split(sizes)]
    torch.testing.assert_close(norm(x), torch.cat(wanted))
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x.bfloat16()).dtype == torch.float32


def test_larger_images_are_cropped_or_averaged_down():
    images = torch.rand(2, 3, 12, 10)
    windows = images.unfold(2, 6, 1).unfold(3, 6, 1).permute(2, 3, 0, 1, 4, 5).flatten(0, 1)
    torch.manual_seed(0)
    found = set()
    for _ in range(300):
        (place,) = (windows == framed(images, 6, 1.0)).flatten(1).all(1).nonzero()  # one for the whole batch
        found.add(int(place))
    assert found == set(range(7 * 5))
    small = F.interpolate(images, (6, 6), mode="area")
    assert torch.equal(framed(images, 6, 0.0), small)
    resized = sum(torch.equal(framed(images, 6, 0.5), small) for _ in range(400))
    assert 160 < resized < 240


def test_smaller_images_are_interpolated():
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(framed(images, 12, 0.5), F.interpolate(images, (12, 12), mode="bicubic"))
    assert framed(images, 8, 0.5) is images


def test_only_the_heads_are_trained_and_saved(make):
    made = make()
    assert {name.partition(".")[0] for name in made.state_dict()} == {"heads"}
    names = {name for name, _ in made.named_parameters()}
    assert {id(p) for p in made.adversary_parameters()} == {id(p) for p in made.parameters()}
    assert len(names) == 3 * (3 * 2 + 2 * 2)  # three convolutions and two norms a head
    assert not made.network.training
    assert not any(p.requires_grad for p in made.network.parameters())
    other = make(readouts=(0, 1, 3), group=4)
    other.load_state_dict(made.state_dict())


def test_players(make, pictures):
    made = make(augment=None)
    fake = F.avg_pool2d(pictures.flip(0), 3, 1, 1).requires_grad_()
    terms = made.terms(state_of(pictures, fake))
    terms[""].backward()
    assert set(terms) == {""}
    assert fake.grad.abs().sum() > 0
    optimizer = torch.optim.Adam(made.adversary_parameters(), 2e-4)
    before = {name: p.clone() for name, p in made.network.named_parameters()}
    history = []
    for _ in range(6):
        answer = made.adversary_terms(detached(state_of(pictures, fake)))
        optimizer.zero_grad()
        answer["loss"].backward()
        optimizer.step()
        history.append(answer["loss"].item())
    assert history[-1] < history[0] - 0.1
    assert all(torch.equal(before[name], p) for name, p in made.network.named_parameters())


def test_losses_under_autocast_and_without_a_host_sync(make, pictures):
    made = make(lecam={})
    with torch.autocast("cpu", torch.bfloat16):
        terms = {**made.terms(state_of(pictures, pictures)), **made.adversary_terms(state_of(pictures, pictures))}
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert all(term.isfinite() for term in terms.values())
    large = torch.rand(2, 3, 64, 64, device="meta")
    meta = made.to("meta")
    assert set(meta.terms(state_of(large, large)) | meta.adversary_terms(state_of(large, large))) == {
        "",
        "loss",
        "lecam",
    }  # .item() would raise


def test_one_channel_is_seen_as_grey(make, pictures):
    grey = pictures[:, :1]
    with torch.no_grad():
        alone, tripled = make(channels=1).logits(grey), make().logits(grey.expand_as(pictures))
    torch.testing.assert_close(alone, tripled)
    with pytest.raises(Refusal, match="use patchgan, which takes any number"):
        DinoDiscConfig().accepts(SimpleNamespace(image=ImageSpec(2, (64, 64))))


def test_what_is_drawn_for_the_transformer_changes_no_other_start(make):
    starts = [make(image_size=side).heads[0][0][0].weight for side in (SIDE, 64)]
    assert torch.equal(*starts)


def test_in_an_objective(make_objective, images, weights):
    fields = {"model": MODEL, "weights": weights, "image_size": SIDE, "readouts": [0, 2]}
    objective = make_objective(gan={"use": "dinodisc", **fields})
    losses = objective(images, None, Progress(0, 1))
    answer = objective(images, None, Progress(0, 1), "gan", detached(losses.state))
    torch.testing.assert_close(answer.total.detach(), 0.5 * answer.terms["gan.adversary.loss"])
    answer.total.backward()
    player = objective.by_role["gan"]
    assert all(p.grad is not None for p in player.adversary_parameters())
    assert all(p.grad is None for p in objective.tokenizer.parameters())
    assert player.config.augment is not None


def test_weights_that_do_not_fit(make, original, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({name: p for name, p in original.state_dict().items() if name != "norm.bias"}, path)
    with pytest.raises(TokzooError, match=r'is not of vit_tiny_patch16_224; .*"norm.bias"'):
        make(weights=path)
    path.write_bytes(b"not weights")
    with pytest.raises(TokzooError, match=r"model\.safetensors cannot be read"):
        make(weights=path)
    with pytest.raises(TokzooError, match=r"no file .*none\.pth; it should be model\.safetensors of https://hugg"):
        make(weights=tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"readouts": (13,)}, "has 12 blocks, and none is number 13"),
        ({"model": "resnet18"}, "resnet18 cannot be made .* choose another model"),
        ({"model": "vit_base_patch16_siglip_gap_224"}, "is no vision transformer with a class token"),
        ({"model": "vit_tinny_patch16_224"}, "timm knows no model 'vit_tinny_patch16_224'"),
    ],
)
def test_models_that_cannot_serve(make, fields, message):
    with pytest.raises(TokzooError, match=message):
        make(**fields)


def test_no_weights_are_needed_to_count_parameters():
    with torch.device("meta"):
        made = DinoDiscriminator(DinoDiscConfig(weights="nowhere"), None)
    convolutions = (384 * 384 + 384) + (9 * 384 * 384 + 384) + (384 + 1)
    assert sum(p.numel() for p in made.parameters()) == 5 * (convolutions + 2 * 2 * 384)


def test_offline_without_weights_is_one_clear_error(tmp_path):
    imports = (
        "from types import SimpleNamespace\n"
        "from tokzoo_losses.adversary_configs import DinoDiscConfig\n"
        "from tokzoo_losses.dinodisc import DinoDiscriminator\n"
    )
    told = told_offline(tmp_path, imports, "DinoDiscriminator(DinoDiscConfig(), SimpleNamespace()).start()")
    assert "regularizer 'dinodisc': the weights of vit_small_patch16_224.dino are not at hand" in told
    assert "download model.safetensors of https://huggingface.co/timm/vit_small_patch16_224.dino and set" in told


def test_the_default_is_gigatoks():
    config = DinoDiscConfig()
    assert (config.model, config.image_size, config.crop) == ("vit_small_patch16_224.dino", 224, 0.5)
    assert (config.readouts, config.kernel, config.group) == ((0, 3, 6, 9, 12), 9, 8)
    assert (config.loss, config.weight, config.lecam) == ("hinge", 0.5, None)
    assert (config.augment.translation, config.augment.cutout) == (0.125, 0.2)


def test_bad_values():
    for fields, message in (
        ({"readouts": (3, 0)}, "rising order"),
        ({"readouts": ()}, "at least 1 item"),
        ({"kernel": 8}, "take 9"),
        ({"crop": 1.5}, "less than or equal to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            DinoDiscConfig(**fields)
