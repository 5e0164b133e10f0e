"""Slots to modules: each class imported on first use and given its config and the shapes it was promised."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakSet

import torch

from tokzoo.contracts.errors import Broken, TokzooError, describe
from tokzoo.contracts.interfaces import (
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

T = TypeVar("T")

_TEACHERS: ContextVar[dict[tuple[str, ImageSpec], Teacher] | None] = ContextVar("teachers", default=None)
"""The teachers built so far where they are shared, by what their answers depend on."""


def build(slot: Slot, interface: type[T], *promised: Any) -> T:
    """An instance of the slot's component.

    Raises:
        TokzooError: its target cannot be imported, or is not of the interface its kind promises.
        Broken: its constructor raised an error not meant for the user.
    """
    target = load_target(slot.entry.spec)
    where = f"{slot.kind} '{slot.use}' (plugin {slot.entry.plugin})"
    if not (isinstance(target, type) and issubclass(target, interface)):
        raise TokzooError(f"{where}: {target!r} is not a subclass of {interface.__name__}")
    abstract = sorted(getattr(target, "__abstractmethods__", ()))
    if abstract:
        raise TokzooError(f"{where}: {target.__name__} does not implement {', '.join(abstract)}")
    try:
        made: T = target(slot.config, *promised)  # type: ignore[call-arg]
    except (TokzooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise Broken(f"{where} cannot be built: {describe(error)}") from error
    return made


def build_parts(recipe: Recipe, chain: Chain) -> tuple[Encoder, Quantizer, Decoder]:
    """The three parts of a tokenizer, initialised from torch's global generator in this order."""
    encoder = build(recipe.encoder, Encoder, chain.image, chain.latent, tuple(chain.encoder_hidden))  # type: ignore[type-abstract]
    quantizer = build(recipe.quantizer, Quantizer, chain.latent)  # type: ignore[type-abstract]
    decoder = build(recipe.decoder, Decoder, chain.quantized, chain.image, tuple(chain.hidden))  # type: ignore[type-abstract]
    decoder.share(encoder)
    return encoder, quantizer, decoder


def build_regularizers(recipe: Recipe, chain: Chain) -> dict[str, Regularizer]:
    """The regularizers by role. Those with equal teachers share one network."""
    with shared_teachers():
        return {role: build(slot, Regularizer, chain) for role, slot in recipe.regularizers.items()}


def build_ar(slot: Slot, tokens: Tokens, quantizer: Quantizer | None = None) -> ARModel:
    """An AR model of such tokens; the frozen quantizer is for one that requires something of it."""
    held = quantizer if slot.config.requires else None
    return build(slot, ARModel, tokens, held)  # type: ignore[type-abstract]


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
        return build(slot, Teacher, image).eval().requires_grad_(False)  # type: ignore[type-abstract]


def build_dataset(slot: Slot) -> Dataset:
    """A dataset, its files found and checked."""
    return build(slot, Dataset)


def build_metric(slot: Slot, chain: Chain) -> Metric:
    """A metric, at zero."""
    return build(slot, Metric, chain)  # type: ignore[type-abstract]
