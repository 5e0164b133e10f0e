"""What each stage of the table does, a function each."""

from tokzoo.assembly.saved_ar import load_ar, save_ar
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.assembly.weights import load_weights
from tokzoo.bench.stages import stage_metrics
from tokzoo.bench.workbench import Output, Workbench
from tokzoo.data.augment import identity, variants
from tokzoo.data.codes import CodeSet
from tokzoo.data.tensors import save_tensors
from tokzoo.evaluation import metrics
from tokzoo.evaluation.codes import extract_codes, extract_ten_crops
from tokzoo.evaluation.samples import sample_codes
from tokzoo.recipes.models import Probe
from tokzoo.recipes.saved import DESCRIPTION, REGULARIZERS, WEIGHTS
from tokzoo.training.ar import ARTask, CodesTask, LiveARTask
from tokzoo.training.loop import Trainer
from tokzoo.training.tokenizer import TokenizerTask

TRAIN_CODES = "train.safetensors"
VAL_CODES = "val.safetensors"
TEN_CROPS = "train-ten-crop.safetensors"
SAMPLES = "samples.safetensors"


def tokenizer(bench: Workbench) -> Output:
    """Train the tokenizer, or take the weights it comes with."""
    cell = bench.cell
    if cell.recipe.weights is not None:
        given = Tokenizer(cell.recipe, cell.chain)
        load_weights(given, cell.recipe.weights.folder / WEIGHTS)
        given.save(bench.folder("tokenizer"))
        return Output([WEIGHTS, DESCRIPTION])
    task = TokenizerTask(
        cell.recipe,
        cell.chain,
        bench.dataset.train,
        cell.track.augment,
        cell.track.tokenizer,
        cell.seed,
        bench.device,
    )
    context = bench.context("tokenizer")
    Trainer(task, cell.recipe.train.tokenizer, cell.track.tokenizer, cell.seed, context).run()
    task.tokenizer.save(context.folder)
    files = [WEIGHTS, DESCRIPTION]
    heads = task.objective.regularizers.state_dict()
    if heads:
        save_tensors(heads, context.folder / REGULARIZERS)
        files.append(REGULARIZERS)
    return Output(files)


def reconstruction(bench: Workbench) -> Output:
    """Measure reconstructions of the validation images."""
    chosen, split = stage_metrics(bench.cell, "reconstruction"), bench.dataset.val
    values = metrics.reconstruction(bench.tokenizer, split, chosen, bench.seed, bench.batch, bench.device)
    return Output(values=values, count=len(split))


def codes(bench: Workbench) -> Output:
    """Encode both splits, for an AR model to learn and to be judged by."""
    assert bench.cell.probe is not None
    folder, how = bench.folder("codes"), bench.cell.probe.codes
    # Where others are learned, those of the images as they are remain, for metrics that look at both splits.
    views = list(variants(bench.cell.track.augment).values()) if how is None else [identity]
    for split, name, seen in ((bench.dataset.train, TRAIN_CODES, views), (bench.dataset.val, VAL_CODES, [identity])):
        extract_codes(bench.tokenizer, split, seen, bench.batch, bench.device).save(folder / name)
    if how != "ten-crop":
        return Output([TRAIN_CODES, VAL_CODES])
    extract_ten_crops(bench.tokenizer, bench.dataset.train, bench.batch, bench.device).save(folder / TEN_CROPS)
    return Output([TRAIN_CODES, VAL_CODES, TEN_CROPS])


def _ar_task(bench: Workbench, probe: Probe) -> CodesTask:
    cell = bench.cell
    assert cell.chain.codes is not None
    how = probe.codes
    if how == "live":
        return LiveARTask(probe, bench.tokenizer, bench.dataset.train, cell.track.augment, cell.seed, bench.device)
    learned = CodeSet.load(bench.folder("codes") / (TEN_CROPS if how == "ten-crop" else TRAIN_CODES))
    quantizer = bench.tokenizer.quantizer
    return ARTask(probe, cell.chain.tokens, quantizer, learned, cell.seed, bench.device)


def ar(bench: Workbench) -> Output:
    """Train the AR model, or take the weights it comes with."""
    cell = bench.cell
    assert cell.probe is not None
    given = cell.probe.ar.weights
    if given is not None:
        model = load_ar(given.folder, cell.probe.ar, cell.chain.tokens, bench.tokenizer.quantizer)
        return Output(save_ar(bench.folder("ar"), model.state_dict(), cell.probe.ar, cell.recipe, cell.chain))
    task = _ar_task(bench, cell.probe)
    context = bench.context("ar")
    Trainer(task, cell.probe.train, cell.probe, cell.seed, context).run()
    return Output(save_ar(context.folder, task.module.state_dict(), cell.probe.ar, cell.recipe, cell.chain))


def likelihood(bench: Workbench) -> Output:
    """Measure the loss of the codes of validation images."""
    assert bench.model is not None
    held_out = CodeSet.load(bench.folder("codes") / VAL_CODES)
    chosen = stage_metrics(bench.cell, "likelihood")
    values = metrics.likelihood(bench.model, held_out, bench.cell.chain, chosen, bench.seed, bench.batch, bench.device)
    return Output(values=values, count=len(held_out))


def representation(bench: Workbench) -> Output:
    """Measure what the AR model's hidden states tell of the classes."""
    assert bench.model is not None
    train, val = (CodeSet.load(bench.folder("codes") / name) for name in (TRAIN_CODES, VAL_CODES))
    chosen = stage_metrics(bench.cell, "representation")
    values = metrics.representation(bench.model, train, val, bench.cell.chain, chosen, bench.batch, bench.device)
    return Output(values=values, count=len(val))


def samples(bench: Workbench) -> Output:
    """Sample codes from the AR model."""
    cell = bench.cell
    assert bench.model is not None
    assert cell.probe is not None
    sampler, count = cell.probe.sampler, cell.track.samples
    drawn = sample_codes(bench.model, sampler, cell.chain, count, bench.seed, bench.batch, bench.device)
    drawn.save(bench.folder("samples") / SAMPLES)
    return Output([SAMPLES])


def generation(bench: Workbench) -> Output:
    """Measure images decoded from the samples."""
    drawn = CodeSet.load(bench.folder("samples") / SAMPLES)
    chosen = stage_metrics(bench.cell, "generation")
    values = metrics.generation(bench.tokenizer, drawn, chosen, bench.seed, bench.batch, bench.device)
    return Output(values=values, count=len(drawn))


def efficiency(bench: Workbench) -> Output:
    """Measure what the trained models cost."""
    chosen = stage_metrics(bench.cell, "efficiency")
    values = metrics.efficiency(bench.tokenizer, bench.model, bench.dataset.val, chosen, bench.batch, bench.device)
    return Output(values=values, count=bench.batch)
