"""Six checks that hold for every component, whoever wrote it.

Each check takes a :class:`Subject` (an entry of the catalogue, in its example config) and raises ``AssertionError``
with a sentence for the component's author. :func:`checks_for` tells which checks apply to a kind.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tokzoo.assembly.build import build
from tokzoo.contracts.configs import (
    ARConfig,
    ComponentConfig,
    DecoderConfig,
    EncoderConfig,
    QuantizerConfig,
    RegularizerConfig,
)
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ARModel, Decoder, Encoder, Quantizer
from tokzoo.contracts.outputs import Progress, StepContext
from tokzoo.contracts.specs import CodeSpec, ImageSpec, LatentSpec
from tokzoo.recipes.models import Slot
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue, Entry

BATCH = 3
IMAGE = ImageSpec(3, (32, 32))
CLASSES = 5
LATENTS = (LatentSpec("grid", (4, 4), 6), LatentSpec("sequence", (16,), 6))
CODES = CodeSpec((4, 4), (32,))


@dataclass(frozen=True, slots=True)
class Subject:
    """A component under test, in its example config."""

    slot: Slot

    @classmethod
    def of(cls, entry: Entry, catalogue: Catalogue) -> "Subject":
        """The component as its ``example`` configures it."""
        fields = {"use": entry.spec.name, **entry.spec.example}
        tree = Tree.from_data({"slot": fields}, f"example of {entry.spec.kind}/{entry.spec.name}")
        return cls(Resolver(tree, catalogue).slot(entry.spec.kind, ("slot",)))

    @property
    def config(self) -> ComponentConfig:
        """Its config."""
        return self.slot.config

    @property
    def kind(self) -> str:
        """Its kind."""
        return self.slot.kind


def _latents(config: QuantizerConfig) -> list[LatentSpec]:
    """A latent of each layout, with the channels the quantizer wants."""
    return [LatentSpec(spec.layout, spec.shape, config.wants(spec.layout) or spec.channels) for spec in LATENTS]


def _accepted(config: DecoderConfig) -> list[LatentSpec]:
    """The latents the decoder accepts for the test image: of the test shapes, and of the sides it may insist on."""
    sides = [LatentSpec("grid", (side, side), 6) for side in (1, 2, 8, 16)]
    found = []
    for latent in (*LATENTS, *sides):
        try:
            config.accepts(latent, IMAGE)
        except Refusal:
            continue
        found.append(latent)
    assert found, f"accepts no grid and no sequence for a {IMAGE}: give the component an example config that does"
    return found


def _modules(subject: Subject) -> list[tuple[nn.Module, Tensor]]:
    """The component built for each input it takes, with such an input (on the current device)."""
    config = subject.config
    if isinstance(config, EncoderConfig):
        latents = [config.latent_spec(IMAGE, channels) for channels in (None, 6)]
        encoders = [build(subject.slot, Encoder, IMAGE, latent) for latent in latents]  # type: ignore[type-abstract]
        return [(encoder, torch.rand(BATCH, IMAGE.channels, *IMAGE.size) * 2 - 1) for encoder in encoders]
    if isinstance(config, QuantizerConfig):
        quantizers = [(build(subject.slot, Quantizer, spec), spec) for spec in _latents(config)]  # type: ignore[type-abstract]
        return [(quantizer, torch.randn(BATCH, spec.positions, spec.channels)) for quantizer, spec in quantizers]
    if isinstance(config, DecoderConfig):
        decoders = [(build(subject.slot, Decoder, spec, IMAGE), spec) for spec in _accepted(config)]  # type: ignore[type-abstract]
        return [(decoder, torch.randn(BATCH, spec.positions, spec.channels)) for decoder, spec in decoders]
    assert isinstance(config, ARConfig)
    models = [build(subject.slot, ARModel, CODES, classes, None) for classes in (CLASSES, None)]  # type: ignore[type-abstract]
    return [(model, torch.randint(CODES.vocab[0], (BATCH, CODES.positions))) for model in models]


def _output(module: nn.Module, given: Tensor) -> Tensor:
    """The tensor a module is there for."""
    if isinstance(module, ARModel):
        return module(given, None).loss
    out = module(given)
    return out.images if isinstance(module, Decoder) else out.latent


def _quantize_now(module: nn.Module) -> None:
    """Bring a quantizer past its unquantized warm-up."""
    if isinstance(module, Quantizer):
        module.before_step(StepContext(Progress(999_999, 1_000_000)))


def specs_agree_with_shapes(subject: Subject) -> None:
    """What the config promises is what the module gives, on the meta device and on the CPU."""
    for device in ("meta", "cpu"):
        with torch.device(device):
            for module, given in _modules(subject):
                module.eval()
                with torch.no_grad():
                    _check_shapes(subject, module, given, device)


def _check_shapes(subject: Subject, module: nn.Module, given: Tensor, device: str) -> None:
    config = subject.config
    if isinstance(config, EncoderConfig):
        out, spec = module(given), config.feature_map_spec(IMAGE)
        promised = {config.latent_spec(IMAGE, channels) for channels in (None, 6)}
        shapes = {(BATCH, latent.positions, latent.channels) for latent in promised}
        assert tuple(out.latent.shape) in shapes, f"latent {tuple(out.latent.shape)} on {device}, promised {shapes}"
        given_map = None if out.feature_map is None else tuple(out.feature_map.shape)
        wanted = None if spec is None else (BATCH, spec.channels, *spec.size)
        assert given_map == wanted, f"feature map {given_map} on {device}, promised {wanted}"
    elif isinstance(config, QuantizerConfig):
        out = module(given)
        layout = next(s for s in _latents(config) if (s.positions, s.channels) == tuple(given.shape[1:]))
        latent, codes = config.hands_on(layout), config.code_spec(layout)
        wanted_latent = (BATCH, latent.positions, latent.channels)
        assert tuple(out.latent.shape) == wanted_latent, f"latent {tuple(out.latent.shape)}, promised {wanted_latent}"
        wanted_codes = None if codes is None else codes.batch_shape(BATCH)
        found = None if out.codes is None else tuple(out.codes.shape)
        assert found == wanted_codes, f"codes {found} on {device}, promised {wanted_codes}"
    elif isinstance(config, DecoderConfig):
        images = tuple(module(given).images.shape)
        assert images == (BATCH, IMAGE.channels, *IMAGE.size), f"images {images} on {device} for a {IMAGE}"
    elif device == "cpu":
        out = _output(module, given)
        assert out.isfinite().all(), f"loss {out} is not finite"


def codes_are_in_range(subject: Subject) -> None:
    """Codes are int64 and inside the vocabulary, also of extreme latents; sampled codes too."""
    for module, given in _modules(subject):
        module.eval()
        with torch.no_grad():
            if isinstance(module, ARModel):
                _in_range(module.sample(None, type(module.config).sampler(), torch.arange(BATCH)), CODES)
                continue
            assert isinstance(subject.config, QuantizerConfig)
            for scale in (1.0, 1e4, 0.0):
                codes = module(given * scale).codes
                layout = next(s for s in _latents(subject.config) if s.positions == given.shape[1])
                spec = subject.config.code_spec(layout)
                if spec is not None:
                    _in_range(codes, spec)


def _in_range(codes: Tensor, spec: CodeSpec) -> None:
    assert codes.dtype == torch.int64, f"codes are {codes.dtype}, not int64"
    assert tuple(codes.shape) == spec.batch_shape(BATCH), f"codes {tuple(codes.shape)}, not {spec.batch_shape(BATCH)}"
    for level, size in enumerate(spec.vocab):
        these = codes if spec.levels == 1 else codes[..., level]
        low, high = int(these.min()), int(these.max())
        assert 0 <= low <= high < size, f"codes from {low} to {high} in a vocabulary of {size}"


def decoding_gives_the_quantized_latent(subject: Subject) -> None:
    """In eval mode ``decode(forward(z).codes)`` is ``forward(z).latent``, to the last bit."""
    for module, given in _modules(subject):
        assert isinstance(module, Quantizer)
        module.eval()
        with torch.no_grad():
            out = module(given)
            if out.codes is not None:
                difference = (module.decode(out.codes) - out.latent).abs().max().item()
                assert difference == 0, f"decode(codes) differs from the quantized latent by {difference:.1e}"


def gradients_flow(subject: Subject) -> None:
    """Training moves the component, and what comes before it: the encoder through quantizer and decoder."""
    for module, given in _modules(subject):
        module.train()
        _quantize_now(module)
        if isinstance(module, Quantizer | Decoder):
            given.requires_grad_()
        out = _output(module, given)
        (out * torch.randn_like(out)).sum().backward()
        if given.requires_grad:
            assert given.grad is not None, "no gradient reaches the latent"
            assert given.grad.isfinite().all(), "the gradient of the latent is not finite"
            assert given.grad.abs().sum() > 0, "the gradient of the latent is zero everywhere"
        else:
            reached = [p.grad is not None for p in module.parameters() if p.requires_grad]
            assert any(reached), "no parameter has a gradient"


def state_round_trips(subject: Subject) -> None:
    """A second module that loads the first one's state dict does what the first one does."""
    torch.manual_seed(1)
    first = _modules(subject)
    torch.manual_seed(2)
    for (module, given), (other, _) in zip(first, _modules(subject), strict=True):
        other.load_state_dict(module.state_dict())
        module.eval()
        other.eval()
        with torch.no_grad():
            assert torch.equal(_output(module, given), _output(other, given)), "a loaded state dict gives other outputs"


def config_round_trips(subject: Subject) -> None:
    """The config is JSON, and reads back as itself; weights and gates answer."""
    config = subject.config
    text = json.dumps(config.model_dump(mode="json"), allow_nan=False)
    references = {name: v for name in type(config).model_fields if isinstance(v := getattr(config, name), Slot)}
    data: dict[str, Any] = {**json.loads(text), **references}
    assert type(config).model_validate(data) == config, f"{text} does not read back as the same config"
    if isinstance(config, RegularizerConfig):
        assert isinstance(config.weight_of(""), float | int), "weight_of does not give a number"


Check = Callable[[Subject], None]
CHECKS: dict[Check, tuple[str, ...] | None] = {
    specs_agree_with_shapes: ("encoder", "quantizer", "decoder", "ar"),
    codes_are_in_range: ("quantizer", "ar"),
    decoding_gives_the_quantized_latent: ("quantizer",),
    gradients_flow: ("encoder", "quantizer", "decoder", "ar"),
    state_round_trips: ("encoder", "quantizer", "decoder", "ar"),
    config_round_trips: None,
}
"""The checks, and the kinds each applies to (None: all)."""


def checks_for(kind: str) -> list[Check]:
    """The checks a component of this kind must pass."""
    return [check for check, kinds in CHECKS.items() if kinds is None or kind in kinds]
