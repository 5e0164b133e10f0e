"""The GPT against tensors of the original implementation: every golden_gpt*.safetensors, built from its own header."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import tokzoo
from tokzoo.nn.sampling import filtered_probabilities
from tokzoo_ar.configs import GPTConfig, GPTSampler
from tokzoo_ar.gpt import GPT
from tokzoo_ar.guidance import Constant, Interval, Linear, LinearReverse, Schedule, Step, Triangular, Window

DATA = Path(__file__).parents[2] / "data" / "gigatok"
FOLDERS = [DATA] + [Path(folder) for folder in [os.environ.get("TOKZOO_GOLDENS")] if folder]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("golden_gpt*.safetensors"))]
SCHEDULES = ["cfg1", "const", "step", "linear", "linear_re", "triangular", "rect", "interval"]
FILTERS = ["t07", "k50", "p09", "k50p09"]

OUR_NAMES = {
    r"^positional_embedding$": "positions",
    r"^cls_embedding\.embedding_table\.": "starts.",
    r"^tok_embeddings\.": "tokens.",
    r"^output\.": "head.",
    r"^adaLN\.1\.": "modulation.",
    r"^final_adaLN\.1\.": "final_modulation.",
    r"^layers\.": "blocks.",
    r"attention\.wqkv\.": "attention.qkv.",
    r"attention\.wo\.": "attention.out.",
    r"feed_forward\.w1\.": "ffn.gate.",
    r"feed_forward\.w2\.": "ffn.down.",
    r"feed_forward\.w3\.": "ffn.up.",
    r"adaLN_modulation\.1\.": "modulation.",
    r"ada_gss$": "modulation_offset",
}


def our_name(name):
    for pattern, replacement in OUR_NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name


def numbers(pattern, text):
    return [float(number) for number in re.search(pattern, text).groups()]


@dataclass
class Golden:
    meta: dict
    tensors: dict
    model: GPT

    def __getitem__(self, name):
        return self.tensors[name]

    @property
    def codes(self):
        return self["in.tokens"].long()

    @property
    def labels(self):
        return self["in.labels"].long()

    def schedule(self, name) -> Schedule:
        said = self.meta["gen"]
        if name == "step":
            return Step(start=numbers(r"window_start ([\d.]+)", said)[0])
        if name == "rect":
            start, stop = numbers(r"rect ([\d.]+)-([\d.]+)", said)
            return Window(start=start, stop=stop)
        if name == "interval":
            return Interval(codes=int(numbers(r"cfg_interval=(\d+)", said)[0]) + 2)
        return {"linear": Linear(), "linear_re": LinearReverse(), "triangular": Triangular()}.get(name, Constant())

    def sampler(self, name) -> GPTSampler:
        scale = 1.0 if name == "cfg1" else numbers(r"cfg_scale ([\d.]+)", self.meta["gen"])[0]
        return GPTSampler(greedy=True, cfg=scale, schedule=self.schedule(name))


def build(cfg) -> GPT:
    adaln = "shared" if cfg["use_simple_adaLN"] else "full" if cfg["use_adaLN"] else "none"
    config = GPTConfig(
        size=None,
        layers=cfg["n_layer"],
        heads=cfg["n_head"],
        width=cfg["dim"],
        ffn_multiple=cfg["multiple_of"],
        qk_norm=cfg["use_qk_norm"],
        adaln=adaln,
        token_dropout=cfg["token_dropout_p"],
        residual_dropout=cfg["resid_dropout_p"],
        ffn_dropout=cfg["ffn_dropout_p"],
        label_dropout=0,
    )
    return GPT(config, tokzoo.CodeSpec((cfg["block_size"],), (cfg["vocab_size"],)), cfg["num_classes"])


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def golden(request):
    with safe_open(request.param, "pt") as file:
        meta = json.loads(file.metadata()["meta"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    model = build(meta["cfg"])
    weights = {our_name(key[2:]): value for key, value in tensors.items() if key.startswith("w.")}
    own = model.state_dict()
    # The per-block offsets are stored with axes for batch and position.
    model.load_state_dict({key: value.float().reshape(own[key].shape) for key, value in weights.items()})
    return Golden(meta, tensors, model.eval())


def test_all_goldens_are_here():
    assert len(FILES) >= 3


def test_training_pass(golden):
    model = golden.model.train()
    loss = model(golden.codes, golden.labels)
    torch.testing.assert_close(model.logits(golden.codes, golden.labels), golden["train.logits"], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss.loss[None], golden["train.loss"], atol=1e-5, rtol=0)
    model.zero_grad()
    loss.loss.backward()
    norms = {name: parameter.grad.norm() for name, parameter in model.named_parameters()}
    model.eval()
    ordered = torch.stack([norms.pop(our_name(name)) for name in golden.meta["param_order"]])
    torch.testing.assert_close(ordered, golden["train.grad_norm"], atol=1e-5, rtol=0)
    assert not norms


def test_evaluation_pass(golden):
    with torch.no_grad():
        loss = golden.model(golden.codes, golden.labels)
        unconditional = golden.model.logits(golden.codes, None)
    torch.testing.assert_close(loss.loss[None], golden["eval.loss"], atol=1e-5, rtol=0)
    torch.testing.assert_close(unconditional, golden["eval.uncond_logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_greedy_tokens(golden, name):
    sampled = golden.model.sample(golden.labels, golden.sampler(name), torch.arange(len(golden.labels)))
    assert torch.equal(sampled, golden[f"gen.{name}.tokens"].long())


@pytest.mark.parametrize("name", SCHEDULES)
def test_guided_logits_of_every_step(golden, name):
    sampler, tokens = golden.sampler(name), golden[f"gen.{name}.tokens"].long()
    scales = None if name == "cfg1" else sampler.schedule.scales(sampler.cfg, tokens.shape[1])
    steps = golden.model.decode_steps(golden.labels, len(tokens), scales)
    logits = torch.stack([steps.send(None)] + [steps.send(chosen) for chosen in tokens.T[:-1]], dim=1)
    torch.testing.assert_close(logits.amax(-1), golden[f"gen.{name}.max_logit"], atol=1.5e-5, rtol=0)
    torch.testing.assert_close(logits.logsumexp(-1), golden[f"gen.{name}.logsumexp"], atol=1.5e-5, rtol=0)
    if name == "const":
        torch.testing.assert_close(logits[:, 0], golden["gen.const.logits_step0"], atol=3e-5, rtol=0)
        torch.testing.assert_close(logits[:, -1], golden["gen.const.logits_last"], atol=3e-5, rtol=0)


@pytest.mark.parametrize("name", FILTERS)
def test_filtered_probabilities(golden, name):
    temperature, top_k, top_p = numbers(rf"\b{name}=\(([\d.]+),([\d.]+),([\d.]+)\)", golden.meta["filters"])
    probabilities = filtered_probabilities(golden["in.filter_logits"], temperature, int(top_k), top_p)
    torch.testing.assert_close(probabilities.float(), golden[f"filter.{name}"], atol=1e-5, rtol=0)


def test_names_and_shapes_of_the_published_base_model():
    lines = (DATA / "layout_GPT-B.tsv").read_text().splitlines()[1:]
    published = {our_name(key): shape for key, shape, *_ in (line.split("\t") for line in lines)}
    with torch.device("meta"):
        model = GPT(GPTConfig(size="B"), tokzoo.CodeSpec((256,), (16384,)), 1000)
    ours = {key: "x".join(map(str, value.shape)) for key, value in model.state_dict().items()}
    assert ours == published
