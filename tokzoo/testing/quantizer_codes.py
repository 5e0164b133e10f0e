"""What a quantizer's codes keep to: in range, decoded to the very latent, whole or from the first on."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor

from tokzoo.contracts.capabilities import HasAssignment, PredictsNextScale
from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import Assignment
from tokzoo.contracts.specs import ASSIGNMENT, NEXT_SCALE, PREFIX_DECODING, CodeSpec
from tokzoo.testing.asserting import CLOSE, assert_finite, assert_rows_are_their_own, assert_same
from tokzoo.testing.codes import assert_codes, random_codes, sizes_of
from tokzoo.testing.quantizer_trials import QuantizerTrial, trials
from tokzoo.testing.subject import BATCH, Subject
from tokzoo.testing.trial import eval_answers, pull

SCALES = (1.0, 1e4, 0.0)
"""How large latents are made: an encoder's may be anything."""

LARGE = 2**31
"""Vocabularies from here on overflow int32, and no table has a row for each code."""

TIES = 0.02
"""Which part of the codes may be another than the likeliest: where two are as good, rounding decides."""


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
                assert_codes(codes, trial.codes, BATCH, f"codes of latents times {scale:g}")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            codes = module(given.bfloat16()).codes
        assert_codes(codes, trial.codes, BATCH, "codes under bf16 autocast")


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
        if trial.codes is None:
            continue
        module, codes = trial.build().eval(), _codes(trial.codes)
        with torch.no_grad():
            latent = module.decode(codes)
            _assert_latent(latent, trial, "decode of any codes")
            if trial.handed_on == trial.latent:
                assert_codes(module(latent).codes, trial.codes, BATCH, "codes of a decoded latent")


def _codes(spec: CodeSpec) -> Tensor:
    """The first codes, the last codes, and some between them."""
    codes = random_codes(spec, BATCH)
    codes[0], codes[-1] = 0, torch.tensor(sizes_of(spec)).view(codes.shape[1:]) - 1
    return codes


def _assert_latent(latent: Tensor, trial: QuantizerTrial, what: str) -> None:
    found, wanted = tuple(latent.shape), (BATCH, trial.handed_on.positions, trial.handed_on.channels)
    assert found == wanted, f"{what} gives {found}; hands_on promised {wanted}"
    assert_finite({"the latent": latent}, what)


def large_codes_survive(subject: Subject) -> None:
    """Of more codes than int32 or a float holds, each is decoded and quantized to itself."""
    for trial in trials(subject):
        if trial.codes is None or trial.codes.largest < LARGE or trial.handed_on != trial.latent:
            continue
        module, codes = trial.build().eval(), _codes(trial.codes)
        with torch.no_grad():
            again = module(module.decode(codes)).codes
        assert_same(again, codes, f"codes of {trial.codes.largest} decoded and quantized again: work in int64")


def prefixes_are_decoded(subject: Subject) -> None:
    """One that provides ``prefix_decoding`` makes a whole latent of the codes of its first scales (or positions)."""
    if PREFIX_DECODING not in subject.config.provides:
        return
    for trial in trials(subject):
        assert trial.codes is not None, f"provides {PREFIX_DECODING!r}, and code_spec promises no codes"
        module, codes = trial.build().eval(), random_codes(trial.codes, BATCH)
        for count in _ends(trial.codes) if trial.codes.segments else range(1, trial.codes.positions + 1):
            with torch.no_grad():
                _assert_latent(module.decode(codes[:, :count]), trial, f"decode of the first {count} codes")


def _ends(spec: CodeSpec) -> list[int]:
    """How many positions there are up to the end of each scale."""
    return list(accumulate(math.prod(scale) for scale in spec.segments or ()))


def next_scale_is_as_promised(subject: Subject) -> None:
    """One that provides ``next_scale`` tells of each scale, at its size, what the codes before it say; image by image.

    Nothing else may decide it: neither other images nor chance.
    """
    if NEXT_SCALE not in subject.config.provides:
        return
    for trial in trials(subject):
        assert trial.codes is not None, f"provides {NEXT_SCALE!r}, and code_spec promises no codes"
        assert trial.codes.segments, f"provides {NEXT_SCALE!r}, and code_spec says no segments"
        module, codes = trial.build().eval(), random_codes(trial.codes, BATCH)
        assert isinstance(module, PredictsNextScale), f"provides {NEXT_SCALE!r} and has no method next_scale"
        for scale, end in enumerate(_ends(trial.codes)[:-1], start=1):

            @torch.no_grad()
            def tell(
                rows: Tensor, module: PredictsNextScale = module, scale: int = scale, known: Tensor = codes[:, :end]
            ) -> Tensor:
                return module.next_scale(known[rows], scale)

            found = tuple(tell(torch.arange(BATCH)).shape)
            wanted = (BATCH, math.prod(trial.codes.segments[scale]), trial.handed_on.channels)
            assert found == wanted, f"next_scale gives {found} for scale {scale}, not {wanted}"
            assert_rows_are_their_own(tell, BATCH, "next scales", "predicted", CLOSE)


def assignment_is_given_as_promised(subject: Subject) -> None:
    """A quantizer that provides ``assignment`` gives factors that are differentiable in the latent, and finite."""
    if ASSIGNMENT not in subject.config.provides:
        return
    for trial in trials(subject):
        module, given = trial.ready(), trial.given().requires_grad_()
        factors = _factors(module, given)
        for factor in factors:
            _check_factor(factor)
        queries = {str(number): factor.queries for number, factor in enumerate(factors)}
        (gradient,) = torch.autograd.grad(pull(queries), given, allow_unused=True)
        assert gradient is not None, "no gradient reaches the latent through assignment"


def _factors(module: Quantizer, given: Tensor) -> Sequence[Assignment]:
    assert isinstance(module, HasAssignment), f"provides {ASSIGNMENT!r} and has no method assignment"
    factors = module.assignment(given)
    assert isinstance(factors, Sequence), f"assignment gives a {type(factors).__name__}, not a sequence of factors"
    assert factors, "assignment gives no factor"
    wrong = [type(factor).__name__ for factor in factors if not isinstance(factor, Assignment)]
    assert not wrong, f"assignment gives a {wrong[:1]}, not an Assignment"
    return factors


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


def assignment_agrees_with_the_codes(subject: Subject) -> None:
    """Where each level has one factor with all of its codes, the likeliest code is the one that is chosen."""
    if ASSIGNMENT not in subject.config.provides:
        return
    for trial in trials(subject):
        module, given = cast(Quantizer, trial.trained()), trial.given()
        with torch.no_grad():
            codes, factors = module(given).codes, _factors(module, given)
        sizes = [len(factor.codes) for factor in factors]
        if trial.codes is None or trial.codes.vocab_by == "position" or sizes != list(trial.codes.vocab):
            continue  # a code is a combination of several factors' choices, or each factor is of one position
        for level, factor in enumerate(factors):
            chosen = (codes if trial.codes.levels == 1 else codes[..., level]).flatten()
            likeliest = _logits(factor).argmax(-1)
            if len(chosen) == len(likeliest):
                apart = (likeliest != chosen).float().mean().item()
                assert apart <= TIES, f"the likeliest code of assignment is not the one chosen in {apart:.0%} of cases"


def _logits(factor: Assignment) -> Tensor:
    squares = (factor.queries[:, None].double() - factor.codes.double()).square().sum(-1)
    return -factor.scale * squares + (0.0 if factor.bias is None else factor.bias.double())


CODE_CHECKS = (
    codes_are_int64_in_range,
    decode_equals_the_quantized_latent,
    any_code_can_be_decoded,
    large_codes_survive,
    prefixes_are_decoded,
    next_scale_is_as_promised,
    assignment_is_given_as_promised,
    assignment_agrees_with_the_codes,
)
