"""Golden files of the original GigaTok: found, read, and turned into our models by what their headers say."""

import json
import math
import os
import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

import tokzoo
from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.objective import Objective
from tokzoo.nn.guidance import Constant, Interval, Linear, LinearReverse, Step, Triangular, Window
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import load_registry
from tokzoo_ar.checkpoint import GPTCheckpoint
from tokzoo_ar.configs import GPTConfig, GPTSampler
from tokzoo_ar.gpt import GPT
from tokzoo_gigatok.checkpoint import DISCRIMINATOR, GigaTokCheckpoint
from tokzoo_quantizers.configs import VQConfig
from tokzoo_quantizers.vq import VectorQuantizer

DATA = Path(__file__).parents[2] / "data"
OWN = DATA / "gigatok"


@dataclass
class Golden:
    """A file: its header and its tensors, half precision made single."""

    path: Path
    meta: dict
    tensors: dict

    def __getitem__(self, name):
        return self.tensors[name]

    def __contains__(self, name):
        return name in self.tensors

    @property
    def family(self):
        """What it is a golden of."""
        families = {"cfg": "gpt", "num_latent_tokens": "tokenizer", "temperature": "vq"}
        found = [family for field, family in families.items() if field in self.meta]
        assert len(found) == 1, f"{self.path}: neither a tokenizer nor a GPT nor a quantizer, by its header"
        return found[0]


@cache
def read(path):
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        meta = json.loads(file.metadata()["meta"])
    return Golden(path, meta, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})


def golden_files(family):
    """The files of a family: ours, and those in the folder that ``TOKZOO_GOLDENS`` names."""
    extra = os.environ.get("TOKZOO_GOLDENS")
    folders = [OWN, *([Path(extra)] if extra else [])]
    paths = [path for folder in folders for path in sorted(folder.glob("golden_*.safetensors"))]
    assert paths, f"no golden files in {folders}"
    return [path for path in paths if read(path).family == family]


def name_of(path):
    return path.stem.removeprefix("golden_") if path.parent == OWN else f"extra-{path.stem.removeprefix('golden_')}"


def sequence(spatial):
    """``[B, c, h, w]`` as ``[B, h·w, c]``."""
    return spatial.flatten(2).transpose(1, 2)


# Tokenizers


def regenerate(key, shape, seed):
    """The seeded value of a tensor that a file leaves out (the rule the files were made by)."""
    scale, loc = _scale(key, shape)
    state = np.random.RandomState((zlib.crc32(key.encode()) + seed * 1000003) % 2**32)
    values = state.standard_normal(shape) * scale + loc
    return torch.from_numpy(values.astype(np.float16).astype(np.float32))


def _scale(key, shape):
    if key.startswith("input:"):
        return 1.0, 0.0
    if key.endswith(".weight") and len(shape) == 1:
        return 0.1, 1.0
    if key.endswith(("bias", "in_proj_bias")):
        return 0.05, 0.0
    if "quantize.embedding" in key or "positional_embedding" in key:
        return 1.0, 0.0
    return (math.prod(shape[1:]) if len(shape) > 1 else shape[0]) ** -0.5, 0.0


def tokenizer_recipe(meta, rotation):
    """The recipe a header describes, as the original trained it but for LPIPS; the adversary starts at step 1."""
    part = "gigatok-vit" if meta["two_d"] else "gigatok-qformer"
    side = {
        "use": part,
        "size": None,
        **{name: meta[name] for name in ("width", "layers", "heads")},
        "channels": meta["ch"],
        "multipliers": meta["ch_mult"],
        "map_channels": meta["z_channels"],
    }
    if meta["two_d"]:
        side["layer"] = "plain" if meta["layer_type"] == "TransformerLayer" else "detr"
    grid = meta["image"] // 2 ** (len(meta["ch_mult"]) - 1)
    teacher = {"use": "stored", "grid": [grid, grid], "dim": meta["out_inner_dim"]}
    return {
        "encoder": side if meta["two_d"] else {**side, "tokens": meta["num_latent_tokens"]},
        "quantizer": {
            "use": "vq",
            "codes": meta["codebook_size"],
            "dim": 8,
            "rotation": rotation,
            "commitment": meta["beta"],
        },
        "decoder": side,
        "regularizers": {
            "reconstruction": {"use": "l2"},
            "shortcut": {"use": "shortcut"},
            "entropy": {"use": "entropy", "weight": meta["entropy_loss_ratio"], "temperature": 0.01},
            "semantic": {"use": "semantic", "weight": 0.5, "tap": meta["distill_depth"], "teacher": teacher},
            "adversarial": {
                "use": "patchgan",
                "weight": 0.5,
                "start": 1,
                "channels": meta["disc"]["ndf"],
                "layers": meta["disc"]["n_layers"],
            },
        },
    }


@dataclass
class TokenizerGolden:
    """A file's model: our objective, with its weights."""

    golden: Golden
    rotation: bool
    objective: Objective
    keys: dict

    def __getitem__(self, name):
        return self.golden[name]

    def __contains__(self, name):
        return name in self.golden

    @property
    def tokenizer(self):
        return self.objective.tokenizer

    def given(self, name, shape):
        """An input, stored or regenerated."""
        if f"in.{name}" in self:
            return self[f"in.{name}"]
        drawn = regenerate(f"input:{name}", shape, self.golden.meta["seed"])
        return torch.tanh(drawn) if name == "x" else drawn

    @property
    def images(self):
        size = self.golden.meta["image"]
        return self.given("x", (self.golden.meta["bs"], 3, size, size))

    def trained(self, name):
        """A quantity of the training pass with this rotation."""
        return self[f"train.rot{int(self.rotation)}.{name}"]


def load_tokenizer(path, rotation):
    """Our objective as a file's header describes it, with the file's weights brought over as an import does."""
    golden = read(path)
    registry = load_registry([DATA / "plugins" / "stored_teacher.py"])
    recipe = resolve_recipe(Tree.from_data(tokenizer_recipe(golden.meta, rotation), path.name), registry.components)
    chain = solve(recipe, tokzoo.ImageSpec(3, (golden.meta["image"],) * 2), None, registry.components)
    objective = Objective(tokzoo.Tokenizer(recipe, chain), build_regularizers(recipe, chain))
    state = objective.state_dict()
    kept = GigaTokCheckpoint().kept(recipe, {name: tuple(tensor.shape) for name, tensor in state.items()})
    for name, place in kept.items():
        if re.search(r"running_|num_batches", place.key):
            continue  # batch norm begins anew
        prefix = "wdisc" if place.section == DISCRIMINATOR else "w"
        stored = golden.tensors.get(f"{prefix}.{place.key}")
        value = regenerate(place.key, place.shape, golden.meta["seed"]) if stored is None else stored
        assert tuple(value.shape) == place.shape, place.key
        state[name].copy_(value.reshape(state[name].shape))
    loaded = TokenizerGolden(golden, rotation, objective, {place.key: name for name, place in kept.items()})
    features = sequence(torch.empty(golden.meta["bs"], golden.meta["out_inner_dim"], *chain.hidden["map"].shape))
    objective.regularizers["semantic"].teacher.stored = loaded.given("teacher", tuple(features.shape))
    return loaded


# Quantizers


def load_quantizer(path, l2_norm, rotation):
    golden = read(path)
    weight = golden["w.codebook"]
    config = VQConfig(
        codes=golden.meta["n"],
        dim=weight.shape[1],
        l2_norm=l2_norm,
        rotation=rotation,
        commitment=golden.meta["beta"],
    )
    quantizer = VectorQuantizer(config, tokzoo.LatentSpec("grid", tuple(golden["in.z"].shape[2:]), config.dim))
    with torch.no_grad():
        quantizer.codebook.copy_(weight)
    return quantizer


# GPT


def numbers(pattern, text):
    return [float(number) for number in re.search(pattern, text).groups()]


def gpt_fields(meta):
    """The fields of our config that a header means, without dropout."""
    cfg = meta["cfg"]
    return {
        "size": None,
        "layers": cfg["n_layer"],
        "heads": cfg["n_head"],
        "width": cfg["dim"],
        "ffn_multiple": cfg["multiple_of"],
        "qk_norm": cfg["use_qk_norm"],
        "adaln": "shared" if cfg["use_simple_adaLN"] else "full" if cfg["use_adaLN"] else "none",
        "token_dropout": cfg["token_dropout_p"],
        "residual_dropout": cfg["resid_dropout_p"],
        "ffn_dropout": cfg["ffn_dropout_p"],
        "label_dropout": 0,
    }


def load_gpt(path):
    """Our model as a file's header describes it, with the file's weights brought over as an import does."""
    golden = read(path)
    cfg = golden.meta["cfg"]
    codes = tokzoo.CodeSpec((cfg["block_size"],), (cfg["vocab_size"],))
    latent = tokzoo.LatentSpec("sequence", codes.shape, 8)
    model = GPT(GPTConfig(**gpt_fields(golden.meta)), tokzoo.Tokens(codes, latent, cfg["num_classes"]))
    state = model.state_dict()
    for name, place in GPTCheckpoint().kept(None, {name: tuple(t.shape) for name, t in state.items()}).items():
        state[name].copy_(golden[f"w.{place.key}"].reshape(state[name].shape))
    return model.eval()


def gpt_sampler(golden, name):
    """The sampler behind ``gen.<name>``."""
    said = golden.meta["gen"]
    scale = 1.0 if name == "cfg1" else numbers(r"cfg_scale ([\d.]+)", said)[0]
    if name == "step":
        schedule = Step(start=numbers(r"window_start ([\d.]+)", said)[0])
    elif name == "rect":
        start, stop = numbers(r"rect ([\d.]+)-([\d.]+)", said)
        schedule = Window(start=start, stop=stop)
    elif name == "interval":
        schedule = Interval(codes=int(numbers(r"cfg_interval=(\d+)", said)[0]) + 2)
    else:
        schedule = {"linear": Linear(), "linear_re": LinearReverse(), "triangular": Triangular()}.get(name, Constant())
    return GPTSampler(greedy=True, cfg=scale, schedule=schedule)
