"""docs/recipes.md: what it shows can be said."""

import re
import shlex
from pathlib import Path

import pytest

from tokzoo.recipes.load import Changes, load_recipe, load_track
from tokzoo.recipes.models import Recipe
from tokzoo.registry.plugins import load_registry

PAGE = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tokzoo run (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_name_recipes_and_keys_there_are(command):
    name, *rest = shlex.split(command)
    changes, registry = Changes.parse(text for text in rest if "=" in text), load_registry()
    recipe, track = load_recipe(name, registry, changes.recipe), load_track("fashion-quick", registry, changes.track)
    assert (recipe, track.id) != (load_recipe(name, registry), load_track("fashion-quick", registry).id)


def test_a_track_file_it_shows_appends_to_the_track_it_extends(tmp_path):
    (text,) = re.findall(r"```yaml\n(extends: fashion-quick\n.*?)```", PAGE, re.DOTALL)
    registry, own = load_registry(), tmp_path / "mine.yaml"
    own.write_text(text)
    track, former = load_track(str(own), registry), load_track("fashion-quick", registry)
    assert [slot.use for slot in track.metrics] == [*(slot.use for slot in former.metrics), "prefix-psnr"]
    assert re.fullmatch(r"mine@1\+[0-9a-f]{8}", track.id)


def test_it_names_every_key_of_a_recipe():
    rows = set(re.findall(r"`(\w+)[`.]", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert Recipe.model_fields.keys() - {"name", "summary"} <= rows
