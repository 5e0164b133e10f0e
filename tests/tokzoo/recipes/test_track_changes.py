"""Tracks extend tracks, show what is measured beside, and drop what was said of another AR model's sampler."""

import re
from typing import ClassVar

import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError

EDGES = ["reconstruction.psnr", "codes.usage", "reconstruction.edges"]


@pytest.fixture
def edges(with_component):
    """A metric that the track does not measure."""

    class Edges(tokzoo.MetricConfig):
        stage: ClassVar = "reconstruction"
        reports: ClassVar = (
            tokzoo.MetricInfo("reconstruction.edges", "edges", better="lower"),
            tokzoo.MetricInfo("cost.edges", "edges/s", better="higher", observed=True),
        )

        def protocol(self):
            return {}

    with_component("metric", "edges", Edges)


@pytest.mark.parametrize(
    "text", ["metrics+=[edges]", "metrics+=edges", "metrics+=[{use: edges}]", "metrics=[psnr, edges]"]
)
def test_a_metric_that_is_measured_too_shows_its_column(zoo, edges, text):
    track = zoo.track(text)
    assert [slot.use for slot in track.metrics] == ["psnr", "edges"]
    assert list(track.columns) == EDGES
    assert track.id == zoo.track("metrics+=[edges]", "summary=other").id


def test_a_track_that_says_its_columns_shows_these(zoo, edges):
    assert zoo.track("metrics+=[edges]", "columns=[codes.usage]").columns == ("codes.usage",)
    assert zoo.track("metrics+=[edges]", "columns+=[ar.loss]").columns == (*EDGES[:2], "ar.loss")
    assert zoo.track("columns=[]").columns == ()


def test_a_track_extends_another(zoo, edges):
    own = zoo.file("mine@3.yaml", "extends: toy\ntokenizer: {steps: 7}\nmetrics+: [edges]\nprobe: null\n")
    track = zoo.track(of=own)
    assert track.id.startswith("mine@3+")
    assert (track.tokenizer.steps, track.tokenizer.batch, track.probe) == (7, 4, None)
    assert list(track.columns) == EDGES
    assert track.origins["tokenizer", "steps"] == "mine@3.yaml:2"
    further = zoo.file("further.yaml", "extends: mine@3.yaml\nname: further-on\nversion: 2\n")
    assert zoo.track(of=further).id.startswith("further-on@2+")
    assert zoo.track("tokenizer.steps=9", of=further).tokenizer.batch == 4


def test_tracks_in_a_circle_are_refused(zoo):
    zoo.file("a.yaml", "extends: b.yaml\n")
    zoo.file("b.yaml", "extends: a.yaml\n")
    with pytest.raises(TokzooError, match=r"extends: tracks extend each other in a circle, a.yaml → b.yaml → a.yaml"):
        zoo.track(of="a.yaml")
    with pytest.raises(TokzooError, match=r"extends: track 'toi': unknown; known: toy@1 \(c.yaml:1\)"):
        zoo.track(of=zoo.file("c.yaml", "extends: toi\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics+=[psnr]", "track.metrics.1: 'psnr' is given twice (command line)"),
        ("metrics+=[edgse]", "track.metrics.1.use: metric 'edgse': unknown; did you mean 'edges'? (command line)"),
        ("samples+=5", "samples+: no list is written there to append to; give all of it as samples (command line)"),
    ],
)
def test_what_cannot_be_appended_is_told(zoo, edges, text, said):
    with pytest.raises(TokzooError, match=f"^{re.escape(said)}$"):
        zoo.track(text)


def test_another_ar_model_has_its_own_sampler(zoo, with_component):
    own = zoo.file("mine.yaml", "extends: toy\nprobe: {sampler: {temperature: 0.5}}\n")
    for text in ("probe.ar.use=any", "probe.ar=any", "probe.ar={use: any}"):
        assert zoo.track(text, of=own).probe.sampler.model_dump() == {"rounds": 8}
    said = zoo.track("probe.sampler={rounds: 2}", "probe.ar.use=any", of=own)
    assert said.probe.sampler.model_dump() == {"rounds": 2}
    assert zoo.track("probe.ar.layers=9", of=own).probe.sampler.temperature == 0.5
    # One with the same sampler is sampled alike, as a recipe's own AR model is.
    with_component("ar", "gpt-too", zoo.registry.components.get("ar", "gpt").config)
    assert zoo.track("probe.ar.use=gpt-too", of=own).probe.sampler.temperature == 0.5
    with pytest.raises(TokzooError, match=r"track.probe.ar.use: ar 'gtp': unknown; did you mean 'gpt'\?"):
        zoo.track("probe.ar.use=gtp", of=own)


def test_a_track_on_other_data_names_the_folder_and_its_content(zoo, with_component):
    class Folder(zoo.registry.components.get("dataset", "toys").config):
        places: ClassVar = frozenset({"root"})
        root: str

        def fingerprint(self):
            return self.root.rstrip("/").rpartition("/")[2]

    with_component("dataset", "folder", Folder)

    def on(root):
        return zoo.track(f"dataset={{use: folder, root: {root}}}").id

    assert re.fullmatch(r"toy@1\+photos-[0-9a-f]{8}", on("/home/me/photos"))
    assert on("/home/me/photos") == on("/mnt/photos/")
    assert on("/home/me/photos")[:-8] != on("/home/me/other")[:-8]
    assert re.fullmatch(r"toy@1\+my-own-photos-[0-9a-f]{8}", on("~/my own photos"))
