"""Slots to modules: each class imported on first use and given its config and the shapes it was promised."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import torch

from tokzoo.contracts.errors import Broken, TokzooError, describe
from tokzoo.contracts.interfaces import (
    INTERFACES,
    ARModel,
    ComponentModule,
    Dataset,
    Decoder,
    Encoder,
    Metric,
    Quantizer,
    Regularizer,
    Teacher,
)
from tokzoo.contracts.specs import Chain, ImageSpec, Tokens
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.slots import Slot
from tokzoo.registry.component import load_target

_TEACHERS: ContextVar[dict[tuple[str, ImageSpec], Teacher] | None] = ContextVar("teachers", default=None)
"""The teachers built so far where they are shared, by what their answers depend on."""


def build(slot: Slot, *promised: Any) -> Any:
    """An instance of the slot's component, initialised from torch's global generator.

    Args:
        slot: the component.
        promised: what its interface's constructor is given beside the config: the shapes it was promised.

    Raises:
        TokzooError: its target cannot be imported, or is not of the interface its kind promises.
        Broken: its constructor raised an error not meant for the user.
    """
    interface: type[Any] = INTERFACES[slot.kind]
    target = load_target(slot.entry.spec)
    where = f"{slot.kind} '{slot.use}' (plugin {slot.entry.plugin})"
    if not (isinstance(target, type) and issubclass(target, interface)):
        raise TokzooError(f"{where}: {target!r} is not a subclass of {interface.__name__}")
    abstract = sorted(getattr(target, "__abstractmethods__", ()))
    if abstract:
        raise TokzooError(f"{where}: {target.__name__} does not implement {', '.join(abstract)}")
    try:
        return target(slot.config, *promised)
    except (TokzooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise Broken(f"{where} cannot be built: {describe(error)}") from error


def build_parts(recipe: Recipe, chain: Chain) -> tuple[Encoder, Quantizer, Decoder]:
    """The three parts of a tokenizer, initialised from torch's global generator in this order."""
    encoder: Encoder = build(recipe.encoder, chain.image, chain.latent, tuple(chain.encoder_hidden))
    quantizer: Quantizer = build(recipe.quantizer, chain.latent)
    decoder: Decoder = build(recipe.decoder, chain.quantized, chain.image, tuple(chain.hidden))
    decoder.share(encoder)
    return encoder, quantizer, decoder


def build_regularizers(recipe: Recipe, chain: Chain) -> dict[str, Regularizer]:
    """The regularizers by role. Those with equal teachers share one network."""
    with shared_teachers():
        return {role: build(slot, chain) for role, slot in recipe.regularizers.items()}


def build_ar(slot: Slot, tokens: Tokens, quantizer: Quantizer | None = None) -> ARModel:
    """An AR model of such tokens; the frozen quantizer is for one that requires something of it."""
    held = quantizer if slot.config.requires else None
    model: ARModel = build(slot, tokens, held)
    return model


def start(module: ComponentModule) -> None:
    """Start a component where training begins: once, however many hold it, and so that it moves no other's start.

    Raises:
        TokzooError: weights that it reads are missing, or are others.
    """
    if module in _STARTED:
        return
    with torch.random.fork_rng(devices=()):
        module.start()
    _STARTED.add(module)


_STARTED: WeakSet[ComponentModule] = WeakSet()


@contextmanager
def shared_teachers() -> Iterator[None]:
    """Within, equal teachers for equal images are one: they are frozen, so nobody can tell."""
    token = _TEACHERS.set({})
    try:
        yield
    finally:
        _TEACHERS.reset(token)


def build_teacher(slot: Slot, image: ImageSpec) -> Teacher:
    """A teacher for such images: frozen, in eval mode, and never trained; an equal one that is there already.

    Its weights are read by :func:`start`.
    """
    built = _TEACHERS.get()
    if built is None:
        return _new_teacher(slot, image)
    key = json.dumps(slot.identity(), sort_keys=True), image
    if key not in built:
        built[key] = _new_teacher(slot, image)
    return built[key]


def _new_teacher(slot: Slot, image: ImageSpec) -> Teacher:
    # A teacher's start is overwritten by its weights: the draws for it must not change how others start.
    with torch.random.fork_rng(devices=()):
        teacher: Teacher = build(slot, image)
    return teacher.eval().requires_grad_(False)


def build_dataset(slot: Slot) -> Dataset:
    """A dataset, its files found and checked."""
    dataset: Dataset = build(slot)
    return dataset


def build_metric(slot: Slot, chain: Chain) -> Metric:
    """A metric, at zero."""
    metric: Metric = build(slot, chain)
    return metric
