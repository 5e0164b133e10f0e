"""An encoder for a decoder that shares weights with one."""

from collections.abc import Callable, Iterator
from functools import partial

from tokzoo.assembly.build import build
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.interfaces import Decoder, Encoder
from tokzoo.contracts.specs import LatentSpec
from tokzoo.recipes.resolver import example_slot
from tokzoo.testing.stand_ins import with_stand_ins
from tokzoo.testing.subject import CannotBuild, Subject


def shares(decoder: Decoder) -> bool:
    """Whether it does anything with its encoder."""
    return type(decoder).share is not Decoder.share


def encoder_for(subject: Subject, latent: LatentSpec) -> Encoder:
    """A new encoder of such a latent that the decoder takes: of its own plugin, of another, or the kit's.

    Raises:
        CannotBuild: there is none.
    """
    refusals: list[str] = []
    for make in _encoders(subject, latent):
        decoder: Decoder = subject.build(latent, subject.image, ())
        try:
            decoder.share(make())
        except TokzooError as error:
            refusals.append(str(error))
            continue
        return make()  # another one, with which nobody has shared anything yet
    said = f": {refusals[0]}" if refusals else ""
    raise CannotBuild(f"shares weights with its encoder, and there is none here that it takes{said}")


def _encoders(subject: Subject, latent: LatentSpec) -> Iterator[Callable[[], Encoder]]:
    known = [*with_stand_ins(subject.catalogue).of_kind("encoder")]
    for entry in sorted(known, key=lambda entry: entry.plugin != subject.slot.entry.plugin):
        try:
            slot = example_slot(entry, subject.catalogue)
            fits = slot.config.latent_spec(subject.image, latent.channels) == latent  # type: ignore[attr-defined]
        # One that cannot be asked is no help.
        except Exception:
            continue
        if fits:
            yield partial(build, slot, subject.image, latent)
