"""docs/recipes.md: what it shows can be said."""

import re
import shlex
from pathlib import Path

import pytest

from tokzoo.recipes.load import Changes, load_recipe
from tokzoo.recipes.models import Recipe
from tokzoo.registry.plugins import load_registry

PAGE = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tokzoo run (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_name_recipes_and_keys_there_are(command):
    name, *rest = shlex.split(command)
    changes = Changes.parse(text for text in rest if "=" in text)
    assert load_recipe(name, load_registry(), changes.recipe) != load_recipe(name, load_registry())


def test_it_names_every_key_of_a_recipe():
    rows = set(re.findall(r"`(\w+)[`.]", "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert Recipe.model_fields.keys() - {"name", "summary"} <= rows
