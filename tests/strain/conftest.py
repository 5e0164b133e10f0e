"""Designs from papers, each sketched in a file of this folder through the public API alone, and taken all the way.

A sketch is a file plugin, as anybody would write it. It is trained for three steps on random images, saved, loaded and
asked for what it promised. What surrounds it are the stand-ins of the conformance kit, unless a test names others.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tokzoo
from tests.conftest import RECIPES, write_small_fashion
from tokzoo.assembly.build import build_ar
from tokzoo.assembly.count import count_parameters
from tokzoo.assembly.weights import load_weights
from tokzoo.data.codes import CodeSet
from tokzoo.data.config import Augmentation
from tokzoo.data.run_folder import RunFolder
from tokzoo.data.split import InMemorySplit
from tokzoo.data.tensors import save_tensors
from tokzoo.evaluation.codes import extract_codes
from tokzoo.evaluation.samples import sample_codes
from tokzoo.recipes.models import Probe
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.solver import check_ar, solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import load_registry
from tokzoo.testing.conformance import checks_for, run_check
from tokzoo.testing.stand_ins import SPECS, with_stand_ins
from tokzoo.testing.subject import Subject
from tokzoo.training.ar import ARTask
from tokzoo.training.loop import Interrupted, RunContext, Trainer
from tokzoo.training.tokenizer import TokenizerTask

CPU = torch.device("cpu")
IMAGE = tokzoo.ImageSpec(3, (16, 16))
COUNT, CLASSES, STEPS, BATCH = 12, 3, 3, 6
SURROUNDINGS = {"encoder": "tokzoo-testing/grid", "decoder": "tokzoo-testing/any", "regularizers": {"l2": "l2"}}
# In batches of different sizes torch may add in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@dataclass
class Learned:
    """An AR model, trained and loaded, with the codes it learned and sampled codes ``[COUNT, …]``."""

    model: tokzoo.ARModel
    codes: torch.Tensor
    samples: torch.Tensor


@dataclass
class Cell:
    """What came of a whole run of one recipe: its record, and the tokenizer as it was saved, with its folder."""

    record: Any
    folder: Path
    tokenizer: tokzoo.Tokenizer


@dataclass
class Lab:
    """Sketches and the registry they are in.

    Attributes:
        events: what training logged, of the last thing that was trained.
    """

    folder: Path
    files: tuple[Path, ...]
    image: tokzoo.ImageSpec = IMAGE
    events: list = field(default_factory=list)

    def __post_init__(self):
        self.registry = load_registry(self.files, strict=True)
        self.registry.components = with_stand_ins(self.registry.components)
        generator = torch.Generator().manual_seed(0)
        shape = (COUNT, self.image.channels, *self.image.size)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self.split = InMemorySplit(images, torch.arange(COUNT) % CLASSES)
        self.images = images / 127.5 - 1

    def recipe(self, **recipe):
        """A recipe with stand-ins where it names nothing. Regularizers are those given, and ``l2``."""
        named = {**SURROUNDINGS["regularizers"], **recipe.pop("regularizers", {})}
        return resolve_recipe(
            Tree.from_data({**SURROUNDINGS, **recipe, "regularizers": named}, "sketch"), self.registry.components
        )

    def slot(self, kind, use):
        """A component by itself, as it stands in a recipe."""
        tree = Tree.from_data({"slot": use}, "sketch")
        return Resolver(tree, self.registry.components).slot(kind, ("slot",))

    def solve(self, recipe):
        return solve(recipe, self.image, CLASSES, self.registry.components)

    def task(self, recipe, steps=STEPS):
        chain, budget = self.solve(recipe), Budget(steps=steps, batch=BATCH)
        return TokenizerTask(recipe, chain, self.split, Augmentation(), budget, 0, CPU)

    def tokenizer(self, steps=STEPS, **recipe):
        """The tokenizer of a recipe: trained, saved, loaded and still the same; its codes decode as they should."""
        task = self.task(self.recipe(**recipe), steps)
        self._train(task, task.tokenizer.recipe.train.tokenizer, steps)
        folder = self.folder / "tokenizer"
        folder.mkdir(exist_ok=True)
        task.tokenizer.save(folder)
        loaded = tokzoo.Tokenizer.load(folder, self.registry)
        seeds = torch.arange(COUNT)
        images, codes = loaded.reconstruct(self.images, seeds)
        before, same_codes = task.tokenizer.reconstruct(self.images, seeds)
        torch.testing.assert_close(images, before, rtol=0, atol=0)
        assert images.shape == self.images.shape
        assert images.isfinite().all()
        one, _ = loaded.reconstruct(self.images[5:6], seeds[5:6])
        torch.testing.assert_close(one, images[5:6], **CLOSE)
        if codes is not None:
            assert codes.equal(same_codes)
            assert codes.shape == loaded.chain.codes.batch_shape(COUNT)
            assert loaded.decode(loaded.encode(self.images), seeds).equal(images)
        return loaded

    def probe(self, **probe):
        """How an AR model is trained: ``ar`` and perhaps its ``sampler``."""
        settings = {"train": {"lr": 1e-2}, "steps": STEPS, "batch": BATCH, **probe}
        slot, train = self.slot("ar", settings.pop("ar")), Optimization(**settings.pop("train"))
        return Probe(ar=slot, train=train, **settings)

    def check_probe(self, tokenizer, ar):
        """Refuse an AR model as planning a run would."""
        check_ar(self.probe(ar=ar).ar, tokenizer.recipe, tokenizer.chain, self.registry.components)

    def codes(self, tokenizer):
        """The codes of all images, through a file."""
        path = self.folder / "codes.safetensors"
        extract_codes(tokenizer, self.split, [lambda images: images], 5, CPU).save(path)
        return CodeSet.load(path)

    def ar(self, tokenizer, ar, sampler=None, **probe):
        """An AR model of a tokenizer's codes: trained, saved, loaded; likelihoods and samples that stand alone."""
        settings = self.probe(ar=ar, sampler=sampler or {}, **probe)
        check_ar(settings.ar, tokenizer.recipe, tokenizer.chain, self.registry.components)
        codes = self.codes(tokenizer)
        task = ARTask(settings, tokenizer.chain.tokens, tokenizer.quantizer, codes, 0, CPU)
        self._train(task, settings.train, settings.steps)
        weights = self.folder / "model.safetensors"
        save_tensors(task.module.state_dict(), weights)
        model = build_ar(settings.ar, tokenizer.chain.tokens, tokenizer.quantizer)
        load_weights(model, weights)
        model.eval()
        learned = codes.codes[0].long()
        self._check_likelihoods(model, task.module, learned, codes.labels)
        return Learned(model, learned, self._samples(model, settings.sampler, tokenizer))

    def conformance(self, kind, name, fields=None, ranks=False, **tried_with):
        """What the conformance kit finds wrong, by check; of training on several ranks, which takes long, if asked."""
        entry = self.registry.components.get(kind, name)
        subject = Subject.of(entry, self.registry.components, fields, files=self.files, **tried_with)
        wrong = {}
        for check in checks_for(kind):
            if ranks or check.__name__ != "ranks_keep_one_state":
                try:
                    run_check(check, subject)
                except Exception as error:
                    wrong[check.__name__] = f"{type(error).__name__}: {error}"
        return wrong

    def count(self, recipe):
        """Parameters by part."""
        return count_parameters(recipe, self.solve(recipe))

    def whole_and_resumed(self, steps=20, **recipe):
        """The weights after training in one go, and those after it was stopped halfway and gone on with."""
        made, states = self.recipe(**recipe), []
        for name, stops in (("whole", (False,)), ("resumed", (True, False))):
            for stop in stops:
                task, config = self.task(made, steps), made.train.tokenizer
                context = RunContext(self.folder / name, CPU, stopping=lambda stop=stop: stop)
                with pytest.raises(Interrupted) if stop else nullcontext():
                    Trainer(task, config, Budget(steps=steps, batch=BATCH), 0, context).run()
            states.append(task.tokenizer.state_dict())
        return states

    def _train(self, task, config, steps):
        self.events = []
        folder = self.folder / task.purpose
        folder.mkdir(exist_ok=True)
        context = RunContext(folder, CPU, report=self.events.append)
        Trainer(task, config, Budget(steps=steps, batch=BATCH), 0, context).run()

    def _check_likelihoods(self, model, before, codes, labels):
        seeds = torch.arange(COUNT)
        with torch.no_grad():
            wanted = before.likelihood(codes, labels, seeds)
            found = model.likelihood(codes, labels, seeds)
            assert found.loss.isfinite()
            torch.testing.assert_close(found.loss, wanted.loss, rtol=0, atol=0)
            if found.nats_per_token is not None:
                one = model.likelihood(codes[7:8], labels[7:8], seeds[7:8])
                torch.testing.assert_close(one.nats_per_token, found.nats_per_token[7:8], **CLOSE)

    def _samples(self, model, sampler, tokenizer):
        drawn = [sample_codes(model, sampler, tokenizer.chain, COUNT, 0, batch, CPU) for batch in (COUNT, 1)]
        assert drawn[0].codes.equal(drawn[1].codes)
        samples = drawn[0].codes[0].long()
        assert tokenizer.decode(samples, torch.arange(COUNT)).isfinite().all()
        return samples


@pytest.fixture
def lab(tmp_path):
    """A function from the names of sketches of this folder to a lab that has them."""

    def make(*sketches, **settings):
        folder = Path(__file__).parent
        (tmp_path / "lab").mkdir(exist_ok=True)
        return Lab(tmp_path / "lab", tuple(folder / f"{name}.py" for name in sketches), **settings)

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of original idx files of Fashion-MNIST, 400 pictures to learn from and 100 to judge by."""
    folder = tmp_path_factory.mktemp("strain") / "fashion"
    write_small_fashion(folder)
    return folder


@pytest.fixture
def run_cell(tmp_path, pictures, monkeypatch):
    """A function from a lab and a recipe to what ``tokzoo.run`` makes of it, judged by these metrics.

    ``probe`` is the AR model; None: there is none.
    """
    monkeypatch.setattr("tokzoo_executors.in_process.available_cores", lambda: 1)  # so small a model is slower on two

    def run(lab, metrics=("psnr",), probe=None, **recipe):
        path, out = tmp_path / "sketch.yaml", tmp_path / "runs"
        path.write_text(yaml.safe_dump(lab.recipe(**recipe).dump()))
        judge = None if probe is None else {"steps": STEPS, "batch": BATCH, "ar": probe}
        track = {"dataset.root": str(pictures), "tokenizer.steps": STEPS, "probe": judge, "metrics": list(metrics)}
        components = [
            *SPECS,
            *(entry.spec for entry in lab.registry.components if entry.spec.name.startswith("strain/")),
        ]
        changes = {f"track.{key}": value for key, value in track.items()}
        done = tokzoo.run(
            path, track=RECIPES / "tiny@1.yaml", changes=changes, components=components, out=out, device="cpu"
        )
        (record,) = done.records
        assert record.status == "ok", record.failure
        loaded = tokzoo.load(record.id, out=out, components=components, device="cpu")
        return Cell(record, RunFolder(out).stage("tokenizer", record.stages["tokenizer"]), loaded)

    return run
