"""What a teacher keeps to: a frozen network whose features of an image depend on the image alone."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import TeacherConfig
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import Teacher
from tokzoo.contracts.specs import HiddenSpec, ImageSpec
from tokzoo.testing import modules
from tokzoo.testing.asserting import assert_finite, assert_same
from tokzoo.testing.counting import assert_counted_without_memory
from tokzoo.testing.modules import over
from tokzoo.testing.stand_ins import grey
from tokzoo.testing.subject import Subject
from tokzoo.testing.trial import Trial, images_of, state_of


class TeacherTrial(Trial):
    """A teacher as regularizers get it."""

    def __init__(self, subject: Subject, image: ImageSpec, hidden: HiddenSpec) -> None:
        super().__init__(subject, f"on a {image}")
        self.image, self.hidden = image, hidden

    def build(self) -> Teacher:
        """The teacher, frozen as ``tokzoo.build_teacher`` freezes it."""
        teacher: Teacher = self.subject.build(self.image)
        return teacher.eval().requires_grad_(False)

    def begun(self) -> Teacher:
        """The teacher with its weights."""
        return cast(Teacher, super().begun())

    def given(self) -> Tensor:
        """Images."""
        return images_of(self.image)

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Its features."""
        return {"features": module(given)}

    def train(self, module: nn.Module, steps: Iterable[int], seed: int = 0) -> None:
        """Never."""


def trials(subject: Subject) -> list[TeacherTrial]:
    """The teacher of the subject's images, or of grey ones where it refuses those.

    Raises:
        AssertionError: it refuses both.
    """
    refusals: list[str] = []
    for image in (subject.image, grey(subject.image)):
        try:
            hidden = cast(TeacherConfig, subject.config).hidden_spec(image)
        except Refusal as refusal:
            refusals.append(str(refusal))
            continue
        assert isinstance(hidden, HiddenSpec), f"hidden_spec gives {hidden!r}, not a HiddenSpec"
        return [TeacherTrial(subject, image, hidden)]
    raise AssertionError(f"refuses a {subject.image}, and one of one channel: {refusals[0]}")


def features_are_as_promised(subject: Subject) -> None:
    """Features are finite numbers ``[B, T, D]`` as ``hidden_spec`` promises, of one image too."""
    for trial in trials(subject):
        teacher = trial.begun()
        for images in (trial.given(), trial.given()[:1]):
            with torch.no_grad():
                features = teacher(images)
            found = tuple(features.shape)
            wanted = (len(images), trial.hidden.positions, trial.hidden.dim)
            assert found == wanted, f"features have the shape {found}, promised {wanted}"
            assert features.is_floating_point(), f"features are {features.dtype}, which is no floating point"
            assert_finite({"features": features}, trial.what)


def it_is_frozen(subject: Subject) -> None:
    """Once it is built it is in eval mode, no parameter asks for a gradient, and asking it changes nothing in it."""
    for trial in trials(subject):
        teacher = trial.begun()
        before = state_of(teacher)
        for when in ("built", "asked"):
            asking = [name for name, p in teacher.named_parameters() if p.requires_grad]
            assert not asking, f"once {when}, {asking[0]} asks for a gradient: a teacher is never trained"
            training = [name or "it" for name, part in teacher.named_modules() if part.training]
            assert not training, f"once {when}, {training[0]} is in training mode"
            teacher(trial.given())
        for name, tensor in state_of(teacher).items():
            assert_same(tensor, before[name], f"asking it changes {name}")


def it_is_deterministic(subject: Subject) -> None:
    """Asked twice it says the same, and draws nothing from torch's global generator."""
    for trial in trials(subject):
        teacher, images = trial.begun(), trial.given()
        state = torch.get_rng_state()
        with torch.no_grad():
            first, second = teacher(images), teacher(images)
        assert_same(second, first, "asked twice about the same images")
        assert torch.equal(torch.get_rng_state(), state), "asking it draws from torch's global generator"


def gradients_pass_to_the_images(subject: Subject) -> None:
    """Where its features are attached to the images, the gradient is finite and not zero: perceptual terms need it."""
    for trial in trials(subject):
        images = trial.given().requires_grad_()
        features = trial.begun()(images)
        if not features.requires_grad:
            continue
        (features * torch.randn_like(features)).sum().backward()
        assert images.grad is not None, "features have a graph that does not come from the images"
        assert_finite({"the gradient of the images": images.grad}, trial.what)
        assert bool(images.grad.any()), "the gradient of the images is zero everywhere"


def one_start_does_for_all(subject: Subject) -> None:
    """Built twice it is the same network: its weights are of a file, and not drawn."""
    for trial in trials(subject):
        images = trial.given()
        features = []
        for seed in range(2):
            torch.manual_seed(seed)
            teacher = trial.begun()
            with torch.no_grad():
                features.append(teacher(images))
        assert_same(features[1], features[0], "built twice, from two seeds")


def builds_without_memory(subject: Subject) -> None:
    """It can be built on the meta device, without its weights: parameters are counted before anything is trained."""
    for trial in trials(subject):
        assert_counted_without_memory(trial.build)


CHECKS = (
    features_are_as_promised,
    it_is_frozen,
    it_is_deterministic,
    one_start_does_for_all,
    gradients_pass_to_the_images,
    builds_without_memory,
    *over(
        trials,
        modules.rows_are_independent,
        modules.autocast_stays_finite,
        modules.input_is_left_alone,
    ),
)
