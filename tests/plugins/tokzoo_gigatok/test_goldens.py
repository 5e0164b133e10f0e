"""Everything the original code gives, ours gives from the same weights (fp32, CPU).

Every model is built from the header of the file it is compared with. Bounds are absolute, and those measured for a
clean rewrite: an error of 1e-3 in the image would hide a wrong epsilon.
"""

import pytest
import torch
from goldens import (
    OWN,
    golden_files,
    gpt_sampler,
    load_gpt,
    load_quantizer,
    load_tokenizer,
    name_of,
    numbers,
    read,
    sequence,
)

from tokzoo import Progress
from tokzoo.assembly.objective import detached
from tokzoo.nn.sampling import filtered_probabilities
from tokzoo_ar.checkpoint import key_of
from tokzoo_losses.entropy import assignment_entropies


def near(ours, stored, bound):
    torch.testing.assert_close(ours.detach(), stored, atol=bound, rtol=0)


def near_flat(ours, stored, bound):
    """Compare image by image; large files keep every 97th value only."""
    ours, stored = ours.flatten(1), stored.flatten(1)
    near(ours if ours.shape == stored.shape else ours[:, ::97], stored, bound)


def near_images(ours, stored, bound):
    """Large files keep every fourth row and column, or every 97th value."""
    if stored.ndim != 4:
        return near_flat(ours, stored, bound)
    stride = ours.shape[-1] // stored.shape[-1]
    return near(ours[:, :, ::stride, ::stride], stored, bound)


def test_all_families_are_here():
    names = {family: [path.name for path in golden_files(family)] for family in ("tokenizer", "gpt", "vq")}
    assert len(list(OWN.glob("golden_*.safetensors"))) == 7
    assert {"golden_tok1d_A.safetensors", "golden_tok1d_full_A.safetensors"} <= set(names["tokenizer"])
    assert {"golden_gpt_A.safetensors", "golden_gpt_adaln_A.safetensors"} <= set(names["gpt"])
    assert "golden_vq_A.safetensors" in names["vq"]


# The whole tokenizer with its training objective, with the rotation trick and without.


@pytest.fixture(scope="module", params=golden_files("tokenizer"), ids=name_of)
def path(request):
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["rotation", "straight-through"])
def model(request, path):
    return load_tokenizer(path, request.param)


@pytest.fixture(scope="module")
def encoded(model):
    """What the encoder gives, and its transformer's last norm."""
    encoder, kept = model.tokenizer.encoder, {}
    handle = encoder.transformer.ln_post.register_forward_hook(lambda *call: kept.update(norm=call[2]))
    with torch.no_grad():
        out = encoder(model.images)
    handle.remove()
    return out, kept["norm"]


@pytest.fixture(scope="module")
def decoded(model):
    with torch.no_grad():
        return model.tokenizer.decoder(sequence(model["eval.quant"]))


@pytest.fixture(scope="module")
def step(model):
    """The first training step, before the adversary begins, with its gradients."""
    objective = model.objective.train()
    losses = objective(model.images, None, Progress(0, 2))
    losses.state.encoded.latent.retain_grad()
    losses.state.encoded.feature_map.retain_grad()
    objective.zero_grad()
    losses.total.backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    return losses, gradients


def test_encoder(model, encoded):
    out, norm = encoded
    near_flat(out.feature_map, model["eval.spatial"], 2e-5)
    near_flat(norm.transpose(1, 2), model["eval.enc_feat"], 2e-5)
    near_flat(out.latent.transpose(1, 2), model["eval.z_pre"], 2e-5)


def test_codes(model):
    codes = model.tokenizer.eval().encode(model.images)
    assert torch.equal(codes.flatten(), model["eval.indices"].long())


def test_quantized_latent(model, encoded):
    """The original runs the rotation, or straight-through, in eval mode too; we do in training only."""
    with torch.no_grad():
        latent = model.tokenizer.quantizer.train()(encoded[0].latent).latent
    near(latent, sequence(model["eval.quant" if model.rotation else "eval.quant_norot"]), 1e-6)


def test_decoder(model, decoded):
    near_flat(decoded.hidden["map"].transpose(1, 2), model["eval.rec_spatial"], 1e-5)
    near_images(decoded.images, model["eval.image"], 3e-5)


def test_images_of_codes(model):
    codes = model["eval.indices"].long().view(len(model.images), -1)
    with torch.no_grad():
        latent = model.tokenizer.quantizer.eval().decode(codes)
        near_images(model.tokenizer.decoder.eval()(latent).images, model["eval.image_from_codes"], 3e-5)


def test_head_of_the_semantic_regularizer(model, decoded):
    semantic = model.objective.regularizers["semantic"]
    stream = decoded.hidden[semantic.config.tap]
    if "eval.dec_feat" in model:
        near_flat(stream, model["eval.dec_feat"], 1e-5)
    with torch.no_grad():
        features = semantic.projection(stream)
    stored = model["eval.inner_feat"]
    near(features[:, :: features.shape[1] // stored.shape[1]], stored, 1e-5)


def test_quantizer_alone(model):
    quantizer, name = model.tokenizer.quantizer.train(), f"quant.rot{int(model.rotation)}"
    latent = sequence(model["eval.z_pre"]).clone().requires_grad_()
    out = quantizer(latent).latent
    near(out, sequence(model[f"{name}.out"]), 1e-6)
    direction = model.given("qlin", tuple(model["eval.quant"].shape))
    (gradient,) = torch.autograd.grad((out * sequence(direction)).sum(), latent)
    near(gradient, sequence(model[f"{name}.ste_grad"]), 1e-6)


def test_gradients_of_the_quantizers_losses(model):
    quantizer = model.tokenizer.quantizer.train()
    latent = sequence(model["eval.z_pre"]).clone().requires_grad_()
    losses = quantizer(latent).losses
    entropy = model.objective.regularizers["entropy"].config
    (factors,) = quantizer.assignment(latent)
    terms = assignment_entropies(factors.queries, factors.codes, factors.scale / entropy.temperature)
    # The stored gradients are of a ratio of .1, whatever the tokenizer was trained with.
    total = 0.1 * sum(terms) + sum(quantizer.config.weight_of(term) * loss for term, loss in losses.items())
    of_latent, of_codebook = torch.autograd.grad(total, (latent, quantizer.codebook))
    near(of_latent, sequence(model["quant.loss_grad_z"]), 5e-7)
    near(of_codebook, model["quant.loss_grad_codebook"], 5e-7)


def test_loss_terms(model, step):
    terms, config = step[0].terms, model.tokenizer.quantizer.config
    ratio = model.objective.regularizers["entropy"].config.weight
    ours = {
        "rec": terms["reconstruction"],
        "rec_direct": terms["reconstruction.shortcut"],
        "vq": terms["quantizer.codebook"],
        "commit": config.commitment * terms["quantizer.commitment"],
        "entropy": ratio * (terms["entropy.sample"] + terms["entropy.codebook"]),
        "fea_rec": terms["shortcut.feature"],
        "proj": terms["semantic"],
        "total": step[0].total,
    }
    for name, value in ours.items():
        near(value[None], model.trained(name), 5e-6)


def test_reconstructions(model, step):
    views = step[0].state.views
    prefix = f"train.rot{int(model.rotation)}"
    for view, name in (("main", "recon"), ("shortcut", "recon_direct")):
        if f"{prefix}.{name}" in model:
            near(views[view].decoded.images, model.trained(name), 3e-5)


def test_used_codes(model, step):
    """The original counts code 0 as used."""
    used = torch.cat([step[0].state.quantized.codes.flatten(), torch.zeros(1, dtype=torch.int64)]).unique()
    near(torch.tensor([len(used) / model.golden.meta["codebook_size"]]), model.trained("usage"), 1e-6)


def test_gradients_of_latent_and_feature_map(model, step):
    encoded = step[0].state.encoded
    near(encoded.latent.grad, sequence(model.trained("grad_z_pre")), 3e-5)
    prefix = f"train.rot{int(model.rotation)}"
    if f"{prefix}.grad_spatial" in model:
        near(encoded.feature_map.grad, model.trained("grad_spatial"), 3e-5)
    else:
        norm = encoded.feature_map.grad.norm()[None]
        torch.testing.assert_close(norm, model.trained("grad_spatial_norm"), rtol=5e-4, atol=1e-6)


def test_gradients_of_parameters(model, step):
    gradients = step[1]
    near(gradients["tokenizer.quantizer.codebook"], model.trained("grad_codebook"), 1e-5)
    ours = torch.stack([gradients[model.keys[key]].norm() for key in model.golden.meta["param_order"]])
    torch.testing.assert_close(ours, model.trained("param_grad_norm"), rtol=5e-4, atol=1e-6)


def test_every_parameter_has_its_place(model):
    trained = {name for name, _ in model.objective.named_parameters() if "adversarial" not in name}
    assert {model.keys[key] for key in model.golden.meta["param_order"]} == trained


def test_adversary(model, step):
    """Both players in the step in which the adversary has begun; each pass is normed by its own batch."""
    player = model.objective.regularizers["adversarial"].train()
    with torch.no_grad():
        near(player.logits(model.images), model.trained("logits_real"), 1e-5)
        losses = model.objective(model.images, None, Progress(1, 2))
        near(losses.total[None], model.trained("total_adv"), 5e-6)
        answer = model.objective(model.images, None, Progress(1, 2), "adversarial", detached(losses.state))
    near(answer.total[None], model.trained("disc_loss"), 5e-6)


# The quantizer and the entropy alone, with all four combinations of L2 norm and rotation.


@pytest.fixture(params=[(p, l2, rot) for p in golden_files("vq") for l2 in (0, 1) for rot in (0, 1)], ids=str)
def quantizer_case(request):
    path, l2, rot = request.param
    golden = read(path)

    def stored(name):
        tensor = golden[f"l2{l2}.rot{rot}.{name}"]
        return sequence(tensor) if tensor.dim() == 4 else tensor

    return golden, load_quantizer(path, bool(l2), bool(rot)), stored


def input_of(golden):
    return sequence(golden["in.z"]).clone().requires_grad_()


def test_quantizer_training(quantizer_case):
    golden, quantizer, stored = quantizer_case
    latent = input_of(golden)
    quantized = quantizer(latent)
    assert torch.equal(quantized.codes.flatten(), stored("indices").long())
    near(quantized.latent, stored("out"), 1e-6)
    # The original also runs straight-through, or the rotation, in eval mode.
    near(quantized.latent, stored("eval_out"), 1e-6)
    (quantized.latent * sequence(golden["in.g"])).sum().backward()
    near(latent.grad, stored("grad_ste"), 1e-6)
    assert quantizer.codebook.grad is None or not quantizer.codebook.grad.any()


def test_quantizer_losses(quantizer_case):
    golden, quantizer, stored = quantizer_case
    latent = input_of(golden)
    weighted = {name: quantizer.config.weight_of(name) * loss for name, loss in quantizer(latent).losses.items()}
    losses = stored("losses_vq_commit_entropy_usage")
    near(weighted["codebook"], losses[0], 1e-6)
    near(weighted["commitment"], losses[1], 1e-6)
    sum(weighted.values()).backward()
    near(latent.grad, stored("grad_vqcommit_z"), 1e-8)
    near(quantizer.codebook.grad, stored("grad_vqcommit_codebook"), 1e-8)


def test_quantizer_entropy(quantizer_case):
    golden, quantizer, stored = quantizer_case
    latent = input_of(golden)
    (factors,) = quantizer.assignment(latent)
    sharpness = factors.scale / golden.meta["temperature"]
    loss = golden.meta["entropy_ratio"] * sum(assignment_entropies(factors.queries, factors.codes, sharpness))
    near(loss, stored("losses_vq_commit_entropy_usage")[2], 1e-6)
    loss.backward()
    for ours, name in ((latent.grad, "grad_entropy_z"), (quantizer.codebook.grad, "grad_entropy_codebook")):
        # Rounding grows with the gradients, which the temperature makes large or small.
        near(ours, stored(name), max(5e-7, 2e-5 * stored(name).abs().max().item()))


def test_quantizer_evaluation(quantizer_case):
    """The code vector itself, which differs from the original's by rounding and by the rotation's 1e-6 terms."""
    golden, quantizer, stored = quantizer_case
    quantized = quantizer.eval()(input_of(golden))
    assert torch.equal(quantized.latent, quantizer.decode(quantized.codes))
    near(quantized.latent, stored("eval_out"), 2e-5 if quantizer.config.rotation else 1e-6)
    codes = stored("indices").long().view(len(golden["in.z"]), -1)
    near(quantizer.decode(codes), stored("entry"), 1e-7)


# The AR model: training pass, samples with every guidance schedule, filters.


@pytest.fixture(scope="module", params=golden_files("gpt"), ids=name_of)
def gpt_case(request):
    return read(request.param), load_gpt(request.param)


def generated(golden):
    """The names of the schedules it has samples of."""
    return sorted({name.split(".")[1] for name in golden.tensors if name.startswith("gen.")})


def test_gpt_own_files_have_everything():
    for path in golden_files("gpt"):
        if path.parent == OWN:
            assert len(generated(read(path))) == 8
            assert len([name for name in read(path).tensors if name.startswith("filter.")]) == 4
            assert {"train.loss", "train.grad_norm"} <= read(path).tensors.keys()


def test_gpt_training_pass(gpt_case):
    golden, model = gpt_case
    codes, labels = golden["in.tokens"].long(), golden["in.labels"].long()
    model.train()
    near(model.logits(codes, labels), golden["train.logits"], 1e-5)
    if "train.loss" in golden:
        loss = model(codes, labels).loss
        near(loss[None], golden["train.loss"], 1e-5)
    if "train.grad_norm" in golden:
        model.zero_grad()
        model(codes, labels).loss.backward()
        norms = {key_of(name): parameter.grad.norm() for name, parameter in model.named_parameters()}
        ordered = torch.stack([norms.pop(name) for name in golden.meta["param_order"]])
        near(ordered, golden["train.grad_norm"], 1e-5)
        assert not norms
    model.eval()


def test_gpt_evaluation_pass(gpt_case):
    golden, model = gpt_case
    codes, labels = golden["in.tokens"].long(), golden["in.labels"].long()
    with torch.no_grad():
        if "eval.loss" in golden:
            near(model(codes, labels).loss[None], golden["eval.loss"], 1e-5)
        if "eval.uncond_logits" in golden:
            near(model.logits(codes, None), golden["eval.uncond_logits"], 1e-5)


def test_gpt_greedy_codes(gpt_case):
    golden, model = gpt_case
    labels = golden["in.labels"].long()
    for name in generated(golden):
        sampled = model.sample(labels, gpt_sampler(golden, name), torch.arange(len(labels)))
        assert torch.equal(sampled, golden[f"gen.{name}.tokens"].long()), name


def test_gpt_guided_logits_of_every_step(gpt_case):
    golden, model = gpt_case
    for name in generated(golden):
        sampler, codes = gpt_sampler(golden, name), golden[f"gen.{name}.tokens"].long()
        scales = None if name == "cfg1" else sampler.schedule.scales(sampler.cfg, codes.shape[1])
        steps = model.decode_steps(golden["in.labels"].long(), len(codes), scales)
        logits = torch.stack([steps.send(None)] + [steps.send(chosen) for chosen in codes.T[:-1]], dim=1)
        near(logits.amax(-1), golden[f"gen.{name}.max_logit"], 1.5e-5)
        near(logits.logsumexp(-1), golden[f"gen.{name}.logsumexp"], 1.5e-5)
        if name == "const":
            near(logits[:, 0], golden["gen.const.logits_step0"], 3e-5)
            near(logits[:, -1], golden["gen.const.logits_last"], 3e-5)


def test_gpt_filtered_probabilities(gpt_case):
    golden, _ = gpt_case
    for name in (name for name in golden.tensors if name.startswith("filter.")):
        said = rf"\b{name.removeprefix('filter.')}=\(([\d.]+),([\d.]+),([\d.]+)\)"
        temperature, top_k, top_p = numbers(said, golden.meta["filters"])
        probabilities = filtered_probabilities(golden["in.filter_logits"], temperature, int(top_k), top_p)
        near(probabilities.float(), golden[name], 1e-5)
