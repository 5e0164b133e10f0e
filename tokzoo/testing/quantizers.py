"""What every quantizer must keep to, as it is trained and as it is used."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tokzoo.contracts.capabilities import HasAssignment
from tokzoo.contracts.configs import QuantizerConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import Assignment, Overwritten, Progress, Quantized, StepContext
from tokzoo.contracts.specs import ASSIGNMENT, CodeSpec, LatentSpec
from tokzoo.nn.distributed import gather_batch
from tokzoo.testing.modules import (
    BUDGET,
    MODULE_CHECKS,
    Trial,
    assert_all_same,
    assert_finite,
    assert_losses,
    assert_same,
    descend,
    eval_answers,
    gradients_reach_its_parameters,
    over,
    pull,
    state_of,
)
from tokzoo.testing.ranks import on_ranks
from tokzoo.testing.subject import BATCH, Subject

SCALES = (1.0, 1e4, 0.0)
"""How large latents are made: an encoder's may be anything."""


class QuantizerTrial(Trial):
    """A quantizer of one latent."""

    # Both ends of a long budget: the first steps may be a warm-up that quantizes nothing, the last are past any.
    steps = (0, 1, BUDGET - 2, BUDGET - 1)
    half = True

    def __init__(self, subject: Subject, latent: LatentSpec) -> None:
        super().__init__(subject, str(latent))
        self.latent = latent
        self.codes = _config(subject).code_spec(latent)
        self.handed_on = _config(subject).hands_on(latent)

    def build(self) -> Quantizer:
        """The quantizer."""
        return cast(Quantizer, self.subject.build(self.latent))

    def ready(self) -> Quantizer:
        """A new one in training mode, past its warm-up."""
        module = self.build().train()
        module.before_step(StepContext(Progress(BUDGET - 1, BUDGET)))
        return module

    def given(self) -> Tensor:
        """A latent, of another scale in each image."""
        scale = torch.arange(1, BATCH + 1)[:, None, None] / BATCH
        return torch.randn(BATCH, self.latent.positions, self.latent.channels) * scale

    def random_codes(self) -> Tensor | None:
        """Codes anywhere in the vocabulary; None of a continuous quantizer."""
        if self.codes is None:
            return None
        # A column for each vocabulary, whether that is a level's or a position's.
        rows = BATCH if self.codes.vocab_by == "position" else BATCH * self.codes.positions
        columns = [torch.randint(size, (rows,)) for size in self.codes.vocab]
        return torch.stack(columns, -1).view(self.codes.batch_shape(BATCH))

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Latent and codes."""
        out: Quantized = module(given)
        return {"latent": out.latent} | ({} if out.codes is None else {"codes": out.codes})

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """Its losses as the config weighs them, and a decoder's pull at the latent."""
        return self._objective(module(given))

    def step(self, module: nn.Module, given: Tensor, progress: Progress) -> None:
        """One training step, as the loop takes it."""
        self.observed_step(cast(Quantizer, module), given, progress)

    def observed_step(
        self,
        module: Quantizer,
        given: Tensor,
        progress: Progress,
        update: Callable[[nn.Module, Tensor], None] = descend,
    ) -> Sequence[Overwritten]:
        """One training step with ``update`` as the optimizer's part; what the quantizer says it overwrote."""
        module.before_step(StepContext(progress))
        out: Quantized = module(given.requires_grad_())
        update(module, self._objective(out))
        codes = None if out.codes is None else gather_batch(out.codes)
        return module.after_step(StepContext(progress, gather_batch(given.detach()), codes))

    def _objective(self, out: Quantized) -> Tensor:
        asked = pull({"latent": out.latent})
        return sum((self.subject.config.weight_of(name) * loss for name, loss in out.losses.items()), asked)


def _config(subject: Subject) -> QuantizerConfig:
    assert isinstance(subject.config, QuantizerConfig)
    return subject.config


def trials(subject: Subject) -> Iterator[QuantizerTrial]:
    """One for each latent of the subject that it can quantize, with the channels it wants."""
    config, refusals = _config(subject), []
    for spec in subject.latents:
        wanted = config.wants(spec.layout)
        try:
            trial = QuantizerTrial(subject, LatentSpec(spec.layout, spec.shape, wanted or spec.channels))
        except Refusal as refusal:
            refusals.append(str(refusal))
        else:
            yield trial
    every = len(refusals) == len(subject.latents)
    assert not every, f"code_spec refuses every latent it was tried with: {'; '.join(dict.fromkeys(refusals))}"


def specs_agree_with_shapes(subject: Subject) -> None:
    """Latent and codes have the shapes the config promises, on the meta device and on the CPU."""
    for device in ("meta", "cpu"):
        for trial in trials(subject):
            with torch.device(device), torch.no_grad():
                out: Quantized = trial.build().eval()(trial.given())
            found, wanted = tuple(out.latent.shape), _latent_shape(trial)
            assert found == wanted, f"the latent is {found} on {device}; hands_on promised {wanted}"
            codes = None if out.codes is None else tuple(out.codes.shape)
            promised = None if trial.codes is None else trial.codes.batch_shape(BATCH)
            assert codes == promised, f"codes are {codes} on {device}; code_spec promised {promised}"


def _latent_shape(trial: QuantizerTrial) -> tuple[int, ...]:
    return BATCH, trial.handed_on.positions, trial.handed_on.channels


def codes_are_int64_in_range(subject: Subject) -> None:
    """Codes are int64 and inside the vocabulary, in training and in use, also of extreme and of zero latents."""
    for trial in trials(subject):
        if trial.codes is None:
            continue
        module = trial.ready()
        given = trial.given()
        for mode in (True, False):
            for scale in SCALES:
                with torch.no_grad():
                    codes = module.train(mode)(given * scale).codes
                if mode and codes is None:  # some training steps may go unquantized
                    continue
                _assert_in_range(codes, trial.codes, f"of latents times {scale:g}")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            codes = module(given.bfloat16()).codes
        _assert_in_range(codes, trial.codes, "under bf16 autocast")


def _assert_in_range(codes: Tensor | None, spec: CodeSpec, where: str) -> None:
    assert codes is not None, f"there are no codes {where}; code_spec promised {spec}"
    assert codes.dtype == torch.int64, f"codes {where} are {codes.dtype}, not torch.int64"
    found, wanted = tuple(codes.shape), spec.batch_shape(BATCH)
    assert found == wanted, f"codes {where} have the shape {found}; code_spec promised {wanted}"
    columns = codes.reshape(-1, len(spec.vocab)).unbind(1)  # a column for each level's vocabulary, or each position's
    for these, size in zip(columns, spec.vocab, strict=True):
        low, high = int(these.min()), int(these.max())
        assert 0 <= low <= high < size, f"codes {where} go from {low} to {high}, in a vocabulary of {size}"


def decode_equals_the_quantized_latent(subject: Subject) -> None:
    """In eval mode ``decode(forward(z).codes)`` is ``forward(z).latent``, to the last bit."""
    for trial in trials(subject):
        module = cast(Quantizer, trial.trained())
        for scale in SCALES:
            answers = eval_answers(trial, module, trial.given() * scale)
            if "codes" in answers:
                with torch.no_grad():
                    decoded = module.decode(answers["codes"])
                assert_same(decoded, answers["latent"], "decode(codes) is not the latent that eval mode hands on")


def any_code_can_be_decoded(subject: Subject) -> None:
    """Codes an AR model may sample decode to a finite latent, whose own codes are in range too."""
    for trial in trials(subject):
        module, codes = trial.build().eval(), trial.random_codes()
        if trial.codes is None or codes is None:
            continue
        with torch.no_grad():
            latent = module.decode(codes)
            found, wanted = tuple(latent.shape), _latent_shape(trial)
            assert found == wanted, f"decode gives {found}; hands_on promised {wanted}"
            assert_finite({"the latent of random codes": latent}, "decode")
            if trial.handed_on == trial.latent:
                _assert_in_range(module(latent).codes, trial.codes, "of a decoded latent")


def gradients_reach_the_encoder(subject: Subject) -> None:
    """In training the gradient at the quantized latent passes on to the encoder's, finite and not all zero."""
    for trial in trials(subject):
        given = trial.given().requires_grad_()
        latent = trial.ready()(given).latent
        assert latent.requires_grad, "the quantized latent is detached: pass the gradient straight through"
        (gradient,) = torch.autograd.grad(pull({"latent": latent}), given, allow_unused=True)
        assert gradient is not None, "no gradient reaches the encoder's latent: pass it straight through"
        assert_finite({"the gradient of the encoder's latent": gradient}, "training")
        assert bool(gradient.any()), "the gradient of the encoder's latent is zero everywhere"


def losses_are_weighed_scalars(subject: Subject) -> None:
    """Losses are finite scalars attached to the graph, and the config weighs each."""
    for trial in trials(subject):
        assert_losses(subject.config, trial.ready()(trial.given().requires_grad_()).losses)


def statistics_are_detached_scalars(subject: Subject) -> None:
    """Statistics are finite scalars without a graph: they are logged, and part of no loss."""
    for trial in trials(subject):
        for name, value in trial.ready()(trial.given().requires_grad_()).statistics.items():
            assert value.ndim == 0, f"statistic {name!r} must be a scalar and has the shape {tuple(value.shape)}"
            assert not value.requires_grad, f"statistic {name!r} has a graph: detach it"
            assert_finite({repr(name): value}, "statistics")


def assignment_is_given_as_promised(subject: Subject) -> None:
    """A quantizer that provides ``assignment`` gives queries, codes and a scale, differentiable in the latent."""
    if ASSIGNMENT not in subject.config.provides:
        return
    for trial in trials(subject):
        module, given = trial.ready(), trial.given().requires_grad_()
        assert isinstance(module, HasAssignment), f"provides {ASSIGNMENT!r} and has no method assignment"
        factors = module.assignment(given)
        assert isinstance(factors, Sequence), f"assignment gives a {type(factors).__name__}, not a sequence of factors"
        for factor in factors:
            _check_factor(factor)
        queries = {str(number): factor.queries for number, factor in enumerate(factors)}
        (gradient,) = torch.autograd.grad(pull(queries), given, allow_unused=True)
        assert gradient is not None, "no gradient reaches the latent through assignment"


def _check_factor(factor: Assignment) -> None:
    shapes = {"queries": tuple(factor.queries.shape), "codes": tuple(factor.codes.shape)}
    right = all(len(shape) == 2 for shape in shapes.values()) and shapes["queries"][1] == shapes["codes"][1]
    assert right, f"assignment gives {shapes}, not [M, d] and [K, d]"
    assert factor.scale > 0, f"assignment gives the scale {factor.scale}, which must be above 0"
    if factor.bias is not None:
        found, wanted = tuple(factor.bias.shape), (len(factor.codes),)
        assert found == wanted, f"assignment gives a bias of the shape {found}, not {wanted}: one for each code"
    assert_finite({"queries": factor.queries, "codes": factor.codes, "bias": factor.bias}, "assignment")
    assert factor.queries.requires_grad, "the queries of assignment are detached from the latent"


def training_leaves_all_finite(subject: Subject) -> None:
    """After some training steps all is finite, and what it says it overwrote are rows of its own parameters."""
    for trial in trials(subject):
        module = trial.build().train()
        own = {id(parameter) for parameter in module.parameters()}
        for step in trial.steps:
            changes = trial.observed_step(module, trial.given(), Progress(step, BUDGET))
            assert isinstance(changes, Sequence), f"after_step returned {changes!r}, not a sequence of Overwritten"
            for change in changes:
                _assert_rows(change, own)
        assert_finite(state_of(module), f"after {len(trial.steps)} training steps")
        assert_finite(eval_answers(trial, module, trial.given()), f"after {len(trial.steps)} training steps")


def _assert_rows(change: Overwritten, own: set[int]) -> None:
    assert isinstance(change, Overwritten), f"after_step returned {change!r}, not an Overwritten"
    assert id(change.parameter) in own, "after_step says it overwrote a tensor that is none of its own parameters"
    found, wanted = f"{change.rows.dtype} {tuple(change.rows.shape)}", f"torch.bool {(len(change.parameter),)}"
    assert found == wanted, f"the rows of Overwritten are {found}, not {wanted}: a mask over the first axis"


def ranks_keep_one_state(subject: Subject) -> None:
    """Two processes that train it on different latents keep the same parameters and buffers, to the last bit."""
    if not _writes_its_own_state(next(trials(subject))):
        return
    first, second = on_ranks(state_after_training, subject)
    what = "two ranks come to different states: compute them from what after_step gathered, and tokzoo.nn.distributed"
    assert_all_same(second, first, what)


def _writes_its_own_state(trial: QuantizerTrial) -> bool:
    """Whether training changes something although no optimizer does: there is nothing else to keep equal."""
    torch.manual_seed(0)
    module = trial.build().train()
    before = state_of(module)
    for step in trial.steps:
        trial.observed_step(module, trial.given(), Progress(step, BUDGET), lambda module, loss: None)
    return not all(torch.equal(tensor, before[name]) for name, tensor in state_of(module).items())


def state_after_training(subject: Subject) -> dict[str, Tensor]:
    """Parameters and buffers after some steps on this rank's own latents, with random draws of its own."""
    trial = next(trials(subject))
    torch.manual_seed(0)
    module = trial.build()
    trial.train(module, trial.steps, seed=1000 * (1 + dist.get_rank()))
    return state_of(module)


CHECKS = (
    specs_agree_with_shapes,
    codes_are_int64_in_range,
    decode_equals_the_quantized_latent,
    any_code_can_be_decoded,
    gradients_reach_the_encoder,
    losses_are_weighed_scalars,
    statistics_are_detached_scalars,
    assignment_is_given_as_promised,
    training_leaves_all_finite,
    *over(trials, gradients_reach_its_parameters, *MODULE_CHECKS),
    ranks_keep_one_state,
)
