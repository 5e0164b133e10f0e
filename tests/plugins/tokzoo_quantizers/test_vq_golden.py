"""The quantizer and the entropy against tensors made by the original GigaTok classes (fp32, CPU).

Every file is tested with all four combinations of L2 norm and rotation, built from what it says itself. Further files,
of other seeds and sizes, may lie in the folder named by ``TOKZOO_GOLDENS``.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tokzoo import LatentSpec
from tokzoo_losses.entropy import assignment_entropies
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

OWN = Path(__file__).parents[2] / "data" / "gigatok"
FOLDERS = [OWN, *([Path(os.environ["TOKZOO_GOLDENS"])] if os.environ.get("TOKZOO_GOLDENS") else [])]
FILES = sorted({path.resolve() for folder in FOLDERS for path in folder.glob("golden_vq*.safetensors")})


@dataclass
class Case:
    """One combination of one file: what the original gave, and our quantizer with its weights."""

    tensors: dict[str, Tensor]
    prefix: str
    meta: dict
    rotation: bool
    quantizer: VectorQuantizer

    def golden(self, name: str) -> Tensor:
        tensor = self.tensors[f"{self.prefix}.{name}"]
        return sequence(tensor) if tensor.dim() == 4 else tensor

    def latent(self) -> Tensor:
        return sequence(self.tensors["in.z"]).clone().requires_grad_()


def sequence(spatial: Tensor) -> Tensor:
    """``[B, c, h, w]`` as ``[B, h·w, c]``."""
    return spatial.flatten(2).transpose(1, 2)


@cache
def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads(file.metadata()["meta"])


@pytest.fixture(params=[(path, l2, rot) for path in FILES for l2 in (0, 1) for rot in (0, 1)], ids=str)
def case(request) -> Case:
    path, l2, rot = request.param
    tensors, meta = read(path)
    weight = tensors["w.codebook"].float()
    config = VQConfig(
        codes=meta["n"], dim=weight.shape[1], l2_norm=bool(l2), rotation=bool(rot), commitment=meta["beta"]
    )
    quantizer = VectorQuantizer(config, LatentSpec("grid", tuple(tensors["in.z"].shape[2:]), config.dim))
    with torch.no_grad():
        quantizer.codebook.copy_(weight)
    return Case(tensors, f"l2{l2}.rot{rot}", meta, bool(rot), quantizer)


def assert_near(ours: Tensor, golden: Tensor, atol: float) -> None:
    torch.testing.assert_close(ours, golden, atol=atol, rtol=0)


def test_files_are_there():
    assert OWN / "golden_vq_A.safetensors" in FILES


def test_training_output_and_codes(case):
    quantized = case.quantizer(case.latent())
    assert torch.equal(quantized.codes.flatten(), case.golden("indices").long())
    assert_near(quantized.latent, case.golden("out"), 1e-6)


def test_gradient_through_the_output(case):
    latent = case.latent()
    (case.quantizer(latent).latent * sequence(case.tensors["in.g"])).sum().backward()
    assert_near(latent.grad, case.golden("grad_ste"), 1e-6)


def test_straight_through_does_not_train_the_codebook(case):
    (gradient,) = torch.autograd.grad(
        case.quantizer(case.latent()).latent.sum(), case.quantizer.codebook, allow_unused=True
    )
    assert gradient is None or not gradient.any()


def test_losses_and_their_gradients(case):
    latent = case.latent()
    losses = case.quantizer(latent).losses
    weighted = {name: case.quantizer.config.weight_of(name) * loss for name, loss in losses.items()}
    golden = case.golden("losses_vq_commit_entropy_usage")
    assert_near(weighted["codebook"], golden[0], 1e-6)
    assert_near(weighted["commitment"], golden[1], 1e-6)
    sum(weighted.values()).backward()
    assert_near(latent.grad, case.golden("grad_vqcommit_z"), 1e-8)
    assert_near(case.quantizer.codebook.grad, case.golden("grad_vqcommit_codebook"), 1e-8)


def test_entropy_and_its_gradients(case):
    latent = case.latent()
    factors = case.quantizer.assignment(latent)
    sharpness = factors.scale / case.meta["temperature"]
    loss = case.meta["entropy_ratio"] * sum(assignment_entropies(factors.queries, factors.codes, sharpness))
    assert_near(loss, case.golden("losses_vq_commit_entropy_usage")[2], 1e-6)
    loss.backward()
    assert_near(latent.grad, case.golden("grad_entropy_z"), 5e-7)
    assert_near(case.quantizer.codebook.grad, case.golden("grad_entropy_codebook"), 5e-7)


def test_the_originals_eval_output_is_our_training_path(case):
    """The original also runs straight-through or the rotation in eval mode; we do so in training only."""
    assert_near(case.quantizer(case.latent()).latent, case.golden("eval_out"), 1e-6)


def test_eval_output_is_the_code_vector(case):
    """So it differs from the original's by rounding, and by the 1e-6 terms where that one rotates."""
    quantized = case.quantizer.eval()(case.latent())
    assert torch.equal(quantized.latent, case.quantizer.decode(quantized.codes))
    assert_near(quantized.latent, case.golden("eval_out"), 2e-5 if case.rotation else 1e-6)


def test_lookup(case):
    codes = case.golden("indices").long().view(case.tensors["in.z"].shape[0], -1)
    assert_near(case.quantizer.decode(codes), case.golden("entry"), 1e-7)
