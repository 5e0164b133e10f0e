"""No path of a machine is published, and where a file lies changes no hash; what is in it does."""

from pathlib import Path

import pytest

import tokzoo
from tokzoo.recipes.hashing import canonical
from tokzoo.recipes.load import load_recipe, load_track
from tokzoo.recipes.resolver import example_slot
from tokzoo.recipes.slots import Slot
from tokzoo.registry.plugins import load_registry

REGISTRY = load_registry(strict=True)
PATHS = [entry for entry in REGISTRY.components if {*entry.config.places, *entry.config.contents}]


def write(folder, text):
    folder.mkdir()
    path = folder / "secret-file"
    path.write_text(text)
    return path


@pytest.mark.parametrize("entry", PATHS, ids=lambda entry: f"{entry.spec.kind}/{entry.spec.name}")
def test_no_component_publishes_a_path_or_counts_it(entry, tmp_path):
    fields = sorted({*entry.config.places, *entry.config.contents})
    example = example_slot(entry, REGISTRY.components)

    def slot(folder, text):
        path = write(tmp_path / folder, text)
        # As in a config that was validated; whether the file is what the component takes is no matter here.
        texts = {name for name in fields if "Path" not in str(entry.config.model_fields[name].annotation)}
        config = example.config.model_copy(update={name: str(path) if name in texts else path for name in fields})
        return Slot(entry.spec.kind, entry, config)

    here, there = slot("here", "one"), slot("there", "one")
    assert "secret" not in canonical(here.dump(places=False))
    assert "secret" not in canonical(here.identity())
    assert here.dump()[fields[0]] == str(tmp_path / "here" / "secret-file")
    assert here.identity() == there.identity()
    assert here.dump(places=False) == there.dump(places=False)
    assert (slot("other", "two").identity() == here.identity()) is (not entry.config.contents)


def test_there_are_paths_in_several_kinds_of_components():
    assert {entry.spec.kind for entry in PATHS} >= {"dataset", "teacher", "regularizer"}


class Judge(tokzoo.MetricConfig):
    """A metric whose judge is read from a file."""

    contents = frozenset({"weights"})
    stage = "reconstruction"
    reports = (tokzoo.MetricInfo("reconstruction.judged", "judged", better="higher"),)
    weights: Path

    def protocol(self):
        return {}


def test_tracks_and_recipes_hold_no_path_of_a_metric_a_probe_or_a_teacher(zoo, tmp_path, with_component):
    here, there = write(tmp_path / "here", "one"), write(tmp_path / "there", "one")
    with_component("metric", "judge", Judge)

    def on(path):
        return zoo.track(f"metrics=[psnr, {{use: judge, weights: {path}}}]")

    tracks = [on(here), on(there)]
    assert tracks[0].id == tracks[1].id
    assert "secret" not in canonical(tracks[0].dump(places=False))
    assert "secret" in canonical(tracks[0].dump())
    there.write_text("another")
    assert tracks[0].identity() != on(there).identity()
    assert tracks[0].identity() == tracks[1].identity(), "as it was when that track was made"


def test_a_track_or_recipe_as_published_names_none_of_our_own_folders(tmp_path):
    changes = [(("dataset",), {"use": "images", "root": str(tmp_path)})]
    assert str(tmp_path) not in canonical(load_track("fashion-quick", REGISTRY, changes).dump(places=False))
    teacher = {
        "use": "timm",
        "model": "vit_base_patch14_dinov2.lvd142m",
        "weights": str(write(tmp_path / "here", "one")),
    }
    semantic = {"use": "semantic", "teacher": teacher, "tap": 1}
    recipe = load_recipe("gigatok-2d-nano", REGISTRY, [(("regularizers", "semantic"), semantic)])
    assert str(tmp_path) not in canonical([recipe.dump(places=False), recipe.identity()])
