"""Tiny tasks made of real components, and components of our own that do one odd thing each."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

import tokzoo
from tokzoo.data.codes import CodeSet
from tokzoo.data.config import Augmentation
from tokzoo.data.split import InMemorySplit
from tokzoo.recipes.models import Probe
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import load_registry
from tokzoo.training.ar import ARTask
from tokzoo.training.loop import Interrupted, RunContext, Trainer
from tokzoo.training.tokenizer import TokenizerTask

CPU = torch.device("cpu")
IMAGE = tokzoo.ImageSpec(1, (8, 8))


class PatchEncoderConfig(tokzoo.EncoderConfig):
    layout: ClassVar = "grid"

    def latent_spec(self, image, channels):
        return tokzoo.LatentSpec("grid", (4, 4), channels or 4)


class PatchEncoder(tokzoo.Encoder):
    """A linear map of each 2×2 patch: the quickest thing that has gradients."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.project = nn.Conv2d(image.channels, latent.channels, 2, stride=2)

    def forward(self, images):
        return tokzoo.Encoded(self.project(images).flatten(2).transpose(1, 2))


class PatchDecoderConfig(tokzoo.DecoderConfig):
    def accepts(self, latent, image):
        pass


class PatchDecoder(tokzoo.Decoder):
    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.project = nn.ConvTranspose2d(latent.channels, image.channels, 2, stride=2)

    def forward(self, latent, target=None):
        return tokzoo.Decoded(self.project(latent.transpose(1, 2).unflatten(2, (4, 4))))


class CriticConfig(tokzoo.ImageTermConfig):
    pass


class Critic(tokzoo.Adversary):
    """A discriminator with running statistics as buffers."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.net = nn.Sequential(
            nn.Conv2d(chain.image.channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3)
        )

    def adversary_parameters(self):
        return self.net.parameters()

    def terms(self, state):
        return {"": -self.net(state.views["main"].decoded.images).mean()}

    def adversary_terms(self, state):
        view = state.views["main"]
        return {"": F.softplus(-self.net(view.target)).mean() + F.softplus(self.net(view.decoded.images)).mean()}


class PoisonConfig(tokzoo.RegularizerConfig):
    at: int = Field(0, description="the step that goes wrong")
    gradient_only: bool = False


class Poison(tokzoo.Regularizer):
    """Not a number at one step; with ``gradient_only``, only its derivative."""

    def terms(self, state):
        mean = state.decoded.images.mean()
        if state.progress.step != self.config.at:
            return {"": 0 * mean}
        return {"": (0 * mean).abs().sqrt() if self.config.gradient_only else mean / 0 * 0}


class AveragedConfig(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (4,))


class Averaged(tokzoo.Quantizer):
    """A codebook that is a parameter without gradient, moved in ``after_step``; continuous in what it hands on."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.codebook = nn.Parameter(torch.randn(4, latent.channels), requires_grad=False)

    def forward(self, latent):
        return tokzoo.Quantized(latent, torch.cdist(latent, self.codebook).argmin(-1))

    def decode(self, codes):
        return F.embedding(codes, self.codebook)

    @torch.no_grad()
    def after_step(self, context):
        self.codebook.lerp_(context.latent.flatten(0, 1)[:4], 0.1)
        return ()


class Frozen(tokzoo.Teacher):
    """Dropout and running statistics: neither may show."""

    def __init__(self):
        super().__init__(None, IMAGE)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))

    def forward(self, images):
        return self.net(images)


class DistillConfig(tokzoo.RegularizerConfig):
    pass


class Distill(tokzoo.Regularizer):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.teacher, self.head = Frozen(), nn.Linear(8, 8)

    def terms(self, state):
        return {"": F.mse_loss(self.head(self.teacher(state.decoded.images)), self.teacher(state.images))}


class LatentARConfig(tokzoo.ARConfig):
    requires: ClassVar = frozenset({"code_decoding"})
    sampler: ClassVar = tokzoo.Config

    def accepts(self, tokens):
        pass


class LatentAR(tokzoo.ARModel):
    """Reads the quantizer's latents."""

    depth = 1

    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.head = nn.Linear(4, tokens.codes.vocab[0])

    def forward(self, codes, labels, progress=None):
        loss = F.cross_entropy(self.head(self.quantizer.decode(codes)).flatten(0, 1), codes.flatten())
        return tokzoo.ARLoss(loss, None, exact=False)

    def sample(self, labels, sampler, seeds):
        return None

    def features(self, codes, labels, layer):
        return None


OWN = [
    ("encoder", "test/patch", PatchEncoderConfig, PatchEncoder),
    ("decoder", "test/patch", PatchDecoderConfig, PatchDecoder),
    ("regularizer", "test/critic", CriticConfig, Critic),
    ("regularizer", "test/poison", PoisonConfig, Poison),
    ("regularizer", "test/distill", DistillConfig, Distill),
    ("quantizer", "test/averaged", AveragedConfig, Averaged),
    ("ar", "test/latent", LatentARConfig, LatentAR),
]


@pytest.fixture(scope="session")
def catalogue():
    components = load_registry().components
    for kind, name, config, target in OWN:
        components.add(Entry(tokzoo.ComponentSpec(kind, name, config, target, summary="for tests"), "test"))
    return components


@pytest.fixture(scope="session")
def make_recipe(catalogue):
    """A function from changes of a tiny recipe to the recipe; ``real``: with GigaTok's encoder and decoder."""
    backbone = {"use": "gigatok-vit", "size": None, "width": 8, "layers": 1, "heads": 2, "blocks": 1, "groups": 2}
    backbone |= {"channels": 4, "multipliers": [1, 1], "map_channels": 8}

    def make(train=None, quantizer=None, real=False, **regularizers):
        data = {
            "encoder": backbone if real else "test/patch",
            "decoder": backbone if real else "test/patch",
            "quantizer": quantizer or {"use": "vq", "codes": 16, "dim": 4},
            "regularizers": {"l1": "l1", **regularizers},
            "train": {"tokenizer": {"lr": 1.0e-2, **(train or {})}},
        }
        return resolve_recipe(Tree.from_data(data, "test"), catalogue)

    return make


@pytest.fixture(scope="session")
def make_task(catalogue):
    """A function from a recipe to a task on 40 random images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8, generator=generator)
    split = InMemorySplit(images, torch.arange(40) % 10)

    def make(recipe, budget=None, seed=0):
        chain = solve(recipe, IMAGE, 10, catalogue)
        budget = budget or Budget(steps=30, batch=8)
        return TokenizerTask(recipe, chain, split, Augmentation(flip=True), budget, seed, CPU)

    return make


@pytest.fixture(scope="session")
def make_ar_task(make_recipe, make_task, catalogue):
    """A function from the optimisation to an AR task with every kind of dropout, on 24 images in two views."""
    dropouts = dict.fromkeys(["token_dropout", "residual_dropout", "ffn_dropout", "drop_path", "label_dropout"], 0.2)
    shape = {"size": None, "layers": 2, "heads": 2, "width": 8, "ffn_multiple": 8}

    def make(train, use=None, seed=0, steps=30):
        ar = use or {"use": "gpt", **shape, **dropouts}
        slot = resolve_recipe(Tree.from_data({**make_recipe().dump(), "ar": ar}, "test"), catalogue).ar
        probe = Probe(ar=slot, train=train, steps=steps, batch=8)
        tokenizer = make_task(make_recipe()).tokenizer
        codes = torch.randint(0, 16, (2, 24, 16), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
        codes = CodeSet(codes, torch.arange(24) % 10)
        return ARTask(probe, tokenizer.chain.tokens, tokenizer.quantizer.eval(), codes, seed, CPU)

    return make


@pytest.fixture
def make_trainer(tmp_path):
    """A function from a task to a trainer in a folder of this test; ``stop_at`` asks it to stop at that step."""

    def make(task, config=None, folder="run", stop_at=None, steps=30, seed=0, **given):
        events = []
        stopping = lambda: stop_at is not None and events[-1]["step"] >= stop_at  # noqa: E731
        context = RunContext(tmp_path / folder, CPU, **{"report": events.append, "stopping": stopping, **given})
        config = config or task.tokenizer.recipe.train.tokenizer
        return Trainer(task, config, Budget(steps=steps, batch=8), seed, context)

    return make


@pytest.fixture
def run_to_end(make_trainer):
    """A function that trains new tasks, each going on from where the last was stopped, and returns the last trainer."""

    def run(make, *, stops=(), **options):
        for stop in stops:
            with pytest.raises(Interrupted):
                make_trainer(make(), stop_at=stop, **options).run()
        trainer = make_trainer(make(), **options)
        trainer.run()
        return trainer

    return run


@pytest.fixture(scope="session")
def state_of():
    """A function from a trainer to every tensor it has: weights, all buffers, moments, averages."""

    def state(trainer):
        tensors = dict(trainer.task.module.named_parameters()) | dict(trainer.task.module.named_buffers())
        for optimizer in (trainer.optimizer, *trainer.adversaries.values()):
            tensors |= optimizer.state()
        if trainer.average:
            tensors |= {f"average {name}": tensor for name, tensor in trainer.average.average.items()}
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    return state


@pytest.fixture(scope="session")
def fast_train():
    return Optimization(lr=1e-2, warmup=3, ema=0.9, weight_decay=0.1)
