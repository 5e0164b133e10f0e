"""A field that is added with a default changes no hash; whatever differs from a default does."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, create_model

import tokzoo
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.identity import differences
from tokzoo.recipes.models import Probe, Recipe, Track
from tokzoo.recipes.optimization import Optimization


class Inner(tokzoo.Config):
    decay: float = 0.99
    width: int | None = None


class Constant(tokzoo.Config):
    use: Literal["constant"] = "constant"


class Cosine(tokzoo.Config):
    use: Literal["cosine"] = "cosine"


class Left(tokzoo.Config):
    pass


class Right(tokzoo.Config):
    pass


class Outer(tokzoo.Config):
    codes: int
    scale: float = 0
    inner: Inner = Field(default_factory=Inner)
    maybe: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    schedule: Annotated[Constant | Cosine, Field(discriminator="use")] = Constant()
    side: Left | Right = Left()
    flag: bool | int = True


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        ({}, {}),
        ({"scale": 0.0, "inner": {}, "maybe": None, "several": [], "schedule": {"use": "constant"}}, {}),
        ({"inner": {"decay": 0.99, "width": 3}}, {"inner": {"width": 3}}),
        ({"maybe": {}}, {"maybe": {}}),
        ({"several": [{}, {"decay": 0.5}]}, {"several": [{}, {"decay": 0.5}]}),
        ({"named": {"a": {}}}, {"named": {"a": {}}}),
        ({"tags": ["b", "a", "c"]}, {"tags": ["a", "b", "c"]}),
        ({"schedule": {"use": "cosine"}}, {"schedule": {"use": "cosine"}}),
        ({"side": Right()}, {"side": {"model": "Right"}}),
        ({"flag": 1}, {"flag": 1}),
    ],
    ids=str,
)
def test_only_what_differs_from_its_default_counts(given, differs):
    assert differences(Outer(codes=4, **given)) == {"codes": 4, **differs}


def test_a_field_added_to_a_model_that_is_contained_changes_nothing():
    wider = create_model("Inner", __base__=Inner, later=(int, 7))
    outer = create_model("Outer", __base__=Outer, several=(tuple[wider, ...], ()), more=(str, "x"))
    data = {"codes": 4, "several": [{"decay": 0.5}]}
    assert differences(outer(**data)) == differences(Outer(**data))


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        ("quantizer", "vq", "quantizer"),
        ("regularizer", "entropy", "regularizers.entropy"),
        ("teacher", "dino", "regularizers.semantic.teacher"),
    ],
)
def test_a_field_added_to_a_component_changes_no_recipe_until_it_is_set(zoo, add_field, kind, name, place):
    semantic = "regularizers.semantic={use: semantic, teacher: {use: dino, model: vit}}"
    before = content_hash(zoo.recipe(semantic).identity())
    add_field(kind, name)
    assert content_hash(zoo.recipe(semantic).identity()) == before
    assert content_hash(zoo.recipe(semantic, f"{place}.later=8").identity()) != before


def test_a_field_added_to_a_metric_a_model_or_its_sampler_changes_no_track(zoo, add_field):
    before = content_hash(zoo.track().identity())
    for kind, name in (("metric", "psnr"), ("ar", "gpt"), ("dataset", "toys")):
        add_field(kind, name)
    assert content_hash(zoo.track().identity()) == before
    assert content_hash(zoo.track("probe.ar.later=8").identity()) != before


@pytest.mark.parametrize("model", [Recipe, Track, Probe, Optimization])
def test_every_field_a_file_may_leave_out_has_a_default_of_its_own(model, zoo):
    """So that it drops out of identities: what is said in no file counts nowhere."""
    shown = {Recipe: zoo.recipe("train=null"), Track: zoo.track("probe=null", "columns=null", "summary=null")}
    written = shown.get(model) or model.model_validate({"ar": zoo.track().probe.ar, "steps": 1, "batch": 1}
                                                       if model is Probe else {})  # fmt: skip
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    given = {"name", "summary", "regularizers"} if model is Recipe else set()
    assert not (differences(written).keys() & optional) - given


def test_a_referenced_component_counts_even_where_it_is_the_default(zoo, make_catalogue):
    """Its version may change."""
    ensemble = zoo.recipe("regularizers.e=ensemble").regularizers["e"].identity()
    assert ensemble["config"] == {"fallback": {"use": "clip", "version": 1, "config": {}}}


def test_a_sampler_changes_the_recipe_and_not_the_tokenizer(zoo):
    for text in ("sampler.decoder.steps=5", "sampler.ar.temperature=0.5"):
        recipe = zoo.recipe("decoder=deep-grid", text)
        assert recipe.tokenizer_identity() == zoo.recipe("decoder=deep-grid").tokenizer_identity()
        assert recipe.identity() != zoo.recipe("decoder=deep-grid").identity()
    assert (
        zoo.recipe("decoder=deep-grid", "sampler.decoder.steps=10").identity()
        == zoo.recipe("decoder=deep-grid").identity()
    )
