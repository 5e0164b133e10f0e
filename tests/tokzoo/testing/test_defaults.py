"""A default that changes raises its component's version; a field that is added is written down."""

import json
from pathlib import Path

import pytest
from pydantic import Field

import tokzoo
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.plugins import Plugin, Registry, load_registry
from tokzoo.testing.defaults import ENGINE, check_defaults, write_defaults

SNAPSHOT = Path(__file__).parents[2] / "data" / "defaults.json"


class Inner(tokzoo.Config):
    decay: float = 0.99


class Sampler(tokzoo.Config):
    steps: int = 10


class Toy(tokzoo.DecoderConfig):
    sampler = Sampler
    width: int
    layers: int = 4
    inner: Inner | None = None

    def accepts(self, latent, image):
        pass


class Deeper(Toy):
    layers: int = 5


class WithField(Toy):
    later: int = 1


class OtherInner(Inner):
    decay: float = 0.9


class Slower(Toy):
    inner: OtherInner | None = None


class OtherSampler(Sampler):
    steps: int = Field(20)


class Longer(Toy):
    sampler = OtherSampler


def offering(config, version=1):
    catalogue = Catalogue()
    spec = tokzoo.ComponentSpec("decoder", "me/toy", config, "somewhere:Class", "for tests", version=version)
    catalogue.add(Entry(spec, "mine"))
    return Registry(components=catalogue, plugins=[Plugin("mine", "mine.py")])


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "defaults.json"
    write_defaults(path, "mine", registry=offering(Toy))
    return path


def test_the_defaults_of_our_own_components_are_as_they_were():
    """After a version was raised, or a field added: ``python -m tokzoo.testing.defaults FILE PLUGIN …``."""
    ours = load_registry(strict=True)
    names = sorted({entry.plugin for entry in ours.components if entry.source.distribution == "tokzoo"})
    check_defaults(SNAPSHOT, ENGINE, *names, registry=ours)


def test_what_has_no_default_is_in_no_snapshot(snapshot):
    content = json.loads(snapshot.read_text())
    assert content == {
        "decoder/me/toy": {
            "version": 1,
            "defaults": {"inner": None, "inner.decay": 0.99, "layers": 4, "sampler.steps": 10},
        }
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Deeper, "the default of 'layers' was 4 and is 5: raise its version from 1"),
        (Slower, "the default of 'inner.decay' was 0.99 and is 0.9: raise its version from 1"),
        (Longer, "the default of 'sampler.steps' was 10 and is 20: raise its version from 1"),
    ],
)
def test_a_changed_default_needs_a_new_version(snapshot, config, said):
    with pytest.raises(AssertionError) as error:
        check_defaults(snapshot, "mine", registry=offering(config))
    assert str(error.value) == f"decoder/me/toy: {said}"
    with pytest.raises(tokzoo.TokzooError, match="raise its version"):
        write_defaults(snapshot, "mine", registry=offering(config))


@pytest.mark.parametrize("offered", [offering(WithField), offering(Deeper, version=2)])
def test_a_snapshot_that_is_out_of_date_is_written_anew(snapshot, offered):
    with pytest.raises(AssertionError, match=r"out of date \(decoder/me/toy\); write it anew: python -m"):
        check_defaults(snapshot, "mine", registry=offered)
    write_defaults(snapshot, "mine", registry=offered)
    check_defaults(snapshot, "mine", registry=offered)


def test_an_unknown_plugin_is_told(snapshot):
    with pytest.raises(tokzoo.TokzooError, match="plugin yours: unknown"):
        check_defaults(snapshot, "yours", registry=offering(Toy))


def test_a_default_of_recipes_or_tracks_never_changes(tmp_path):
    """They have no version, so what is meant is written into the recipe or track instead."""
    path = tmp_path / "defaults.json"
    write_defaults(path, ENGINE)
    content = json.loads(path.read_text())
    content["tokzoo/Recipe"]["defaults"]["train.tokenizer.lr"] = 1.0
    path.write_text(json.dumps(content))
    with pytest.raises(AssertionError, match=r"lr' was 1\.0 and is 0\.0001: write the new value where it is meant"):
        check_defaults(path, ENGINE)
