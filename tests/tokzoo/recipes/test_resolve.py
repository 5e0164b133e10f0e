"""Mistakes are told with what, where and the nearest right thing; right values come out as they were meant."""

import hashlib

import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.resolve import probe_of
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.saved import REGULARIZERS, WEIGHTS, Saved
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import load_registry


def mistakes(make, *texts, **where):
    with pytest.raises(TokzooError) as error:
        make(*texts, **where)
    return str(error.value).splitlines()


def table(text):
    """Pairs of lines: an override, and what is said of it."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_a_recipe_is_resolved(zoo):
    recipe = zoo.recipe()
    assert (recipe.encoder.use, recipe.quantizer.use, recipe.decoder.use) == ("grid", "vq", "grid")
    assert recipe.quantizer.config.codes == 64
    assert recipe.train.tokenizer.lr == 1e-3
    assert recipe.regularizers["entropy"].config.weight == 0.1


RECIPE_MISTAKES = """
quantizer.codez=64
    quantizer.codez: unknown; did you mean 'codes'?
quantiser.codes=64
    quantiser: unknown; did you mean 'quantizer'?
quantizer.use=vqq
    quantizer.use: quantizer 'vqq': unknown; did you mean 'vq'?
quantizer=line
    quantizer.use: quantizer 'line': unknown; 'line' is a component of kind encoder
quantizer.revive.treshold=0.1
    quantizer.revive.treshold: unknown; did you mean 'threshold'?
quantizer.revive.decay=2
    quantizer.revive.decay: input should be less than 1, not 2
quantizer.revive=5
    quantizer.revive: expected a mapping, not 5
quantizer.codes=many
    quantizer.codes: input should be a valid integer, not 'many'
quantizer.codes=1.5
    quantizer.codes: input should be a valid integer, got a number with a fractional part, not 1.5
quantizer.warmup=soon
    quantizer.warmup: input should be a valid integer or input should be a valid number, not 'soon'
quantizer=[vq]
    quantizer: expected {use: NAME, …} with the name of a component, found ['vq']
quantizer.use=5
    quantizer: expected {use: NAME, …} with the name of a component, found {'use': 5}
encoder=null
    encoder: missing; give the name of one: grid, line
train.tokenizer.lr=-1
    train.tokenizer.lr: input should be greater than 0, not -1
train.tokeniser.lr=1
    train.tokeniser: unknown; did you mean 'tokenizer'?
train.tokenizer.lr=inf
    train.tokenizer.lr: must be a finite number, not inf
train.tokenizer.warmup=2.5
    train.tokenizer.warmup: a float is a fraction of the budget below 1; write steps as an integer
train.tokenizer.betas=[0.9, 2]
    train.tokenizer.betas.1: input should be less than 1, not 2
train.tokenizer.parts.encodr.lr=1
    train.tokenizer.parts.encodr: 'encodr' is no part of this recipe; did you mean 'encoder'?
train.tokenizer.parts.regularizers.entropy.lrr=1
    train.tokenizer.parts.regularizers.entropy.lrr: unknown; did you mean 'lr'?
train.ar.parts.encoder.lr=1
    train.ar.parts: an AR model is trained as a whole
sampler.decoder.steps=5
    sampler.decoder.steps: decoder 'grid' draws nothing at random, and has no sampler
sampler.decodr.steps=5
    sampler.decodr: unknown; did you mean 'decoder'?
init=nowhere
    init: nowhere: no such folder; name that of a saved tokenizer, or of a cell (runs/cells/…)
init={folder: nowhere, prts: [encoder]}
    init.prts: unknown; did you mean 'parts'?
weights=5
    weights: expected the folder of a saved tokenizer, found 5
train=fast
    train: expected a mapping, not 'fast'
regularizers.reconstruction.wieght=2
    regularizers.reconstruction.wieght: unknown; did you mean 'weight'?
regularizers.entropy.weight=nan
    regularizers.entropy.weight: must be a finite number, not nan
regularizers.entropy=vq
    regularizers.entropy.use: regularizer 'vq': unknown; 'vq' is a component of kind quantizer
regularizers.extra.weight=1
    regularizers.extra: expected {use: NAME, …} with the name of a component, found {'weight': 1}
regularizers=[l2]
    regularizers: expected a mapping, not ['l2']
ar=gtp
    ar.use: ar 'gtp': unknown; did you mean 'gpt'?
summary=5
    summary: input should be a valid string, not 5
"""


@pytest.mark.parametrize(("override", "said"), table(RECIPE_MISTAKES))
def test_a_mistake_in_a_recipe_is_told_in_one_line(zoo, override, said):
    assert f"{said} (command line)" in mistakes(zoo.recipe, override)


def test_a_mistake_in_a_file_is_told_with_its_line(zoo):
    name = zoo.file("recipes/mine.yaml", "extends: base\n\nquantizer:\n  codez: 64\n  dim: x\n")
    assert mistakes(zoo.recipe, of=name) == [
        "quantizer.dim: input should be a valid integer, not 'x' (recipes/mine.yaml:5)",
        "quantizer.codez: unknown; did you mean 'codes'? (recipes/mine.yaml:4)",
    ]


def test_what_is_missing_is_told_with_the_file_it_is_missing_in(zoo):
    name = zoo.file("mine.yaml", "encoder: grid\ndecoder: grid\n")
    assert mistakes(zoo.recipe, of=name) == [
        "quantizer: missing; give the name of one: fsq, none, scales, vq (mine.yaml)"
    ]
    above = zoo.file("above.yaml", f"extends: {name}\n")
    assert mistakes(zoo.recipe, of=above)[0].endswith("(above.yaml)")


def test_all_mistakes_are_told_at_once_a_line_each(zoo):
    texts = ["quantizer.codez=64", "quantizer.dim=-1", "encodr.stride=4", "decoder.use=gird", "train.tokenizer.lr=fast"]
    texts += ["regularizers.entropy.temprature=1", "regularizers.other=l3", "train.ar.lr=0"]
    lines = mistakes(zoo.recipe, *texts)
    places = ["quantizer.codez", "quantizer.dim", "encodr", "decoder.use", "train.tokenizer.lr"]
    places += ["regularizers.entropy.temprature", "regularizers.other.use", "train.ar.lr"]
    assert sorted(line.partition(":")[0] for line in lines) == sorted(places)
    assert all(line.endswith("(command line)") for line in lines)


def test_removing_and_adding_roles(zoo):
    recipe = zoo.recipe("regularizers.entropy=null", "regularizers.a-new_1=l2")
    assert {role: slot.use for role, slot in recipe.regularizers.items()} == {"a-new_1": "l2", "reconstruction": "l2"}
    assert zoo.recipe("regularizers=null").regularizers == {}


def test_roles_come_in_one_order_however_they_were_written(zoo):
    one = zoo.recipe("regularizers.a=l2", "regularizers.b=shortcut")
    two = zoo.recipe("regularizers.b=shortcut", "regularizers.a=l2")
    assert list(one.regularizers) == list(two.regularizers) == ["a", "b", "entropy", "reconstruction"]


def test_a_role_that_no_override_could_name_is_refused(zoo):
    name = zoo.file("mine.yaml", "extends: base\nregularizers:\n  a.b: l2\n")
    assert mistakes(zoo.recipe, of=name) == [
        "regularizers.a.b: a role is named by letters, digits, '-' and '_', not 'a.b' (mine.yaml:3)"
    ]


@pytest.mark.parametrize(
    ("override", "judged", "own"), [((), True, None), (("ar=null",), False, None), (("ar=any",), True, "any")]
)
def test_a_recipe_may_bring_its_own_ar_model_or_none(zoo, override, judged, own):
    recipe, track = zoo.recipe(*override), zoo.track()
    assert recipe.judged is judged
    assert (recipe.ar.use if recipe.ar else None) == own
    probe = probe_of(recipe, track)
    if not judged:
        assert probe is None
    else:
        assert probe.ar.use == (own or "gpt")
        assert probe.steps == 50
        assert isinstance(probe.sampler, type(probe.ar.config).sampler)


def test_a_recipe_may_bring_its_own_optimisation_of_the_probe(zoo):
    track = zoo.track()
    assert probe_of(zoo.recipe(), track).train.lr == 2e-3
    assert probe_of(zoo.recipe("train.ar.lr=5e-4"), track).train.lr == 5e-4
    assert probe_of(zoo.recipe(), zoo.track("probe=null")) is None


def test_a_probe_keeps_the_tracks_sampler_where_the_model_is_of_one_kind(zoo):
    track = zoo.track("probe.sampler.temperature=0.5")
    assert probe_of(zoo.recipe("ar=gpt"), track).sampler.temperature == 0.5
    assert probe_of(zoo.recipe("ar=any"), track).sampler.rounds == 8


def test_a_recipe_may_say_how_the_probe_is_sampled(zoo):
    """Over what the track says, or over the defaults of a model that the track knows nothing of."""
    track = zoo.track("probe.sampler={temperature: 0.5, schedule: {use: peaked, peak: 0.3}}")
    sampler = probe_of(zoo.recipe("sampler.ar.schedule.peak=0.4"), track).sampler
    assert (sampler.temperature, sampler.schedule.peak) == (0.5, 0.4)
    assert probe_of(zoo.recipe("sampler.ar.schedule.use=linear"), track).sampler.schedule.slope == 1
    assert probe_of(zoo.recipe("ar=any", "sampler.ar.rounds=3"), track).sampler.rounds == 3


def test_a_sampler_of_another_model_than_the_one_that_judges_is_refused(zoo):
    """Where the track brings the model, this shows on the track."""
    said = "sampler.ar.rounds: unknown; known: schedule, temperature (command line)"
    recipe = zoo.recipe("sampler.ar.rounds=3")
    assert mistakes(probe_of, recipe, zoo.track()) == [said]
    assert mistakes(zoo.recipe, "ar=gpt", "sampler.ar.rounds=3") == [said]


def test_a_generative_decoder_has_a_sampler(zoo):
    assert zoo.recipe("decoder=deep-grid").sampler.decoder.steps == 10
    assert zoo.recipe("decoder=deep-grid", "sampler.decoder.steps=5").sampler.decoder.steps == 5
    assert mistakes(zoo.recipe, "decoder=deep-grid", "sampler.decoder.stepz=5") == [
        "sampler.decoder.stepz: unknown; did you mean 'steps'? (command line)"
    ]


def test_a_role_among_the_parts_is_written_with_a_dot_and_overridden_like_any_key(zoo):
    name = zoo.file("mine.yaml", "extends: base\ntrain: {tokenizer: {parts: {regularizers.entropy: {lr: 1, stop: 5}}}}")
    parts = zoo.recipe("train.tokenizer.parts.regularizers.entropy.lr=2", of=name).train.tokenizer.parts
    assert {name: (part.lr, part.stop) for name, part in parts.items()} == {"regularizers.entropy": (2, 5)}
    assert list(zoo.recipe(of=zoo.file("above.yaml", "extends: mine.yaml")).train.tokenizer.parts) == list(parts)


@pytest.fixture
def saved(zoo):
    """A function that saves a tokenizer in a folder beside the recipes, with such weights."""

    def save(folder, text="weights"):
        path = zoo.folder / folder
        path.mkdir(exist_ok=True)
        Saved(path, zoo.recipe().dump(), tokzoo.ImageSpec(3, (32, 32)), 10).write()
        (path / WEIGHTS).write_text(text)
        (path / REGULARIZERS).write_text(text)
        return folder

    return save


def test_training_may_start_from_a_saved_tokenizer(zoo, saved):
    saved("recipes")
    name = zoo.file("recipes/mine.yaml", "extends: base\ninit: .\n")
    assert zoo.recipe(of=name).init.parts == ("encoder", "quantizer", "decoder")
    name = zoo.file("recipes/mine.yaml", "extends: base\ninit: {folder: ., parts: [regularizers.entropy, encoder]}\n")
    recipe = zoo.recipe(of=name)
    assert recipe.init.parts == ("encoder", "regularizers.entropy")
    assert recipe.dump()["init"] == {"folder": "recipes", "parts": ["encoder", "regularizers.entropy"]}


def test_a_saved_tokenizer_is_run_by_its_folder_whoever_shaped_it(zoo, saved):
    saved("mine")
    recipe = dict(Saved.read(zoo.folder / "mine").recipe)
    recipe["regularizers"] = {**recipe["regularizers"], "script": {"use": "of-a-script"}}
    Saved(zoo.folder / "mine", recipe, tokzoo.ImageSpec(3, (32, 32)), 10).write()
    judged = zoo.recipe(of="mine")
    assert judged.name == "base weights=mine"
    assert judged.weights.fingerprint == hashlib.sha256(b"weights").hexdigest()
    assert not judged.regularizers
    assert zoo.recipe("sampler={}", "name=own", of="mine/").name == "own"
    (told,) = mistakes(lambda text: zoo.recipe(text, of="mine"), "weights=null")
    assert told.startswith("regularizers.script.use: regularizer 'of-a-script': unknown; known: ")
    anew = zoo.recipe("weights=null", "regularizers.script=null", of="mine")
    assert (anew.weights, list(anew.regularizers)) == (None, ["entropy", "reconstruction"])
    assert "a tokenizer, which is run like a recipe" in mistakes(lambda: zoo.track(of="mine"))[0]


def test_what_is_taken_over_is_there_and_here(zoo, saved):
    parts = f"init={{folder: {saved('one')}, parts: [encodr, regularizers.other]}}"
    assert mistakes(zoo.recipe, parts) == [
        "init.parts.0: 'encodr' is not in one; did you mean 'encoder'? (command line)",
        "init.parts.1: 'regularizers.other' is not in one; did you mean 'regularizers.entropy'? (command line)",
    ]
    lost = mistakes(zoo.recipe, "init={folder: one, parts: [regularizers.entropy]}", "regularizers.entropy=null")
    assert lost[0].startswith("init.parts: 'regularizers.entropy' is no part of this recipe; ")
    assert "init: nothing is trained where weights are given" in mistakes(zoo.recipe, "init=one", "weights=one")[0]


def test_a_start_counts_by_its_content_and_its_parts(zoo, saved):
    for folder, text in (("one", "same"), ("two", "same"), ("three", "other")):
        saved(folder, text)

    def identity(init):
        return zoo.recipe(f"init={init}").tokenizer_identity()

    assert identity("one") == identity("two") == identity("{folder: one, parts: [decoder, quantizer, encoder]}")
    different = [identity(init) for init in ("one", "three", "{folder: one, parts: [encoder]}", "null")]
    assert all(one != other for i, one in enumerate(different) for other in different[:i])
    (zoo.folder / "two" / REGULARIZERS).write_text("other")
    assert identity("one") == identity("two")
    taken = "{{folder: {}, parts: [encoder, regularizers.entropy]}}"
    assert identity(taken.format("one")) != identity(taken.format("two"))
    assert zoo.recipe("init=one").dump(places=False)["init"]["folder"].startswith("sha256:")


def test_a_dumped_recipe_reads_back_as_itself(zoo):
    from tokzoo.recipes.resolve import resolve_recipe

    teacher = "{use: semantic, teacher: {use: dino, model: x}}"
    for texts in ([f"regularizers.semantic={teacher}"], ["ar=null"], ["ar=gpt", "train.ar.lr=1"], ["quantizer=none"],
                  ["decoder=deep-grid", "sampler.decoder.steps=3", "train.tokenizer.parts.encoder.lr=1"]):  # fmt: skip
        recipe = zoo.recipe(*texts)
        again = resolve_recipe(Tree.from_data(recipe.dump(), "dump"), zoo.registry.components)
        assert again.identity() == recipe.identity()
        assert again.dump() == recipe.dump()


def test_a_track_is_resolved(zoo):
    track = zoo.track()
    assert track.id == "toy@1"
    assert (track.tokenizer.steps, track.probe.batch, track.evaluation_batch, track.seeds) == (100, 8, 250, 3)
    assert track.probe.ar.config.layers == 3
    assert [slot.use for slot in track.metrics] == ["psnr"]


TRACK_MISTAKES = """
tokenizer.stepz=4
    track.tokenizer.stepz: unknown; did you mean 'steps'?
tokenizr.steps=4
    track.tokenizr: unknown; did you mean 'tokenizer'?
tokenizer.steps=0
    track.tokenizer.steps: input should be greater than 0, not 0
tokenizer=5
    track.tokenizer: expected a mapping, not 5
dataset.use=toy
    track.dataset.use: dataset 'toy': unknown; did you mean 'toys'?
probe.ar.layer=4
    track.probe.ar.layer: unknown; did you mean 'layers'?
probe.step=4
    track.probe.step: unknown; did you mean 'steps'?
probe.steps=null
    track.probe.steps: missing
probe.sampler.temprature=1
    track.probe.sampler.temprature: unknown; did you mean 'temperature'?
probe.sampler.schedule={use: peaked, peek: 0.1}
    track.probe.sampler.schedule.peek: unknown; did you mean 'peak'?
probe.sampler.schedule={use: linear, peak: 0.1}
    track.probe.sampler.schedule.peak: unknown; known: slope, use
probe.sampler.schedule={use: peaked, peak: 2}
    track.probe.sampler.schedule.peak: input should be less than 1, not 2
probe.sampler.schedule=linear
    track.probe.sampler.schedule: expected a mapping, not 'linear'
metrics=psnr
    track.metrics: expected a list of metrics, not 'psnr'
metrics=[]
    track.metrics: expected a list of metrics, not []
metrics=[psnr, null]
    track.metrics.1: missing; give the name of one: ar-loss, psnr
metrics=[psnr, {use: psnr, widow: 3}]
    track.metrics.1.widow: unknown; did you mean 'window'?
main=reconstruction.psr
    track.main: no metric of the track reports 'reconstruction.psr'; did you mean 'reconstruction.psnr'?
main=codes.usage
    track.main: 'codes.usage' has no better and no worse; sort by reconstruction.psnr
main=cost.speed
    track.main: 'cost.speed' varies from run to run; sort by reconstruction.psnr
columns=[cost.speed]
    track.columns: 'cost.speed' varies from run to run and stands in no table
columns=[codes.usge]
    track.columns: no metric reports 'codes.usge'; did you mean 'codes.usage'?
columns=codes.usage
    track.columns: input should be a valid tuple, not 'codes.usage'
seeds=0
    track.seeds: input should be greater than or equal to 1, not 0
evaluation_batch=x
    track.evaluation_batch: input should be a valid integer, not 'x'
version=two
    track.version: input should be a valid integer, not 'two'
name=a/b
    track.name: a track is named by letters, digits, '.', '_' and '-', at most 100 of them, not 'a/b'
name=a@b
    track.name: a track is named by letters, digits, '.', '_' and '-', at most 100 of them, not 'a@b'
name=a+b
    track.name: a track is named by letters, digits, '.', '_' and '-', at most 100 of them, not 'a+b'
"""


@pytest.mark.parametrize(("override", "said"), table(TRACK_MISTAKES))
def test_a_mistake_in_a_track_is_told_in_one_line(zoo, override, said):
    assert f"{said} (command line)" in mistakes(zoo.track, override)


def test_what_a_track_lacks_is_told_with_its_file(zoo):
    name = zoo.file("mine.yaml", "name: mine\nversion: 1\nprobe: {ar: gpt, batch: 2}\n")
    assert mistakes(zoo.track, of=name) == [
        "track.dataset: missing; give the name of one: toys (mine.yaml)",
        "track.tokenizer: missing (mine.yaml)",
        "track.probe.steps: missing (mine.yaml:3)",
        "track.metrics: missing (mine.yaml)",
        "track.main: missing (mine.yaml)",
    ]


def test_a_track_may_leave_out_metrics_its_columns_show(zoo):
    track = zoo.track("metrics=[psnr]", "columns=[reconstruction.psnr, ar.loss]")
    assert track.columns == ("reconstruction.psnr", "ar.loss")


def test_a_metric_whose_config_cannot_be_loaded_is_told_only_where_it_may_be_the_one_meant(zoo):
    spec = tokzoo.ComponentSpec("metric", "me/odd", "nowhere:Config", "nowhere:Odd", "for tests")
    zoo.registry.components.add(Entry(spec, "stranger"))
    assert zoo.track("metrics=[psnr]", "columns=[reconstruction.psnr, ar.loss]").columns
    (said,) = mistakes(zoo.track, "columns=[odd.number]")
    assert "no metric reports 'odd.number'" in said
    assert "plugin stranger: component metric/me/odd: cannot load nowhere:Config" in said


def test_what_numbers_depend_on_changes_the_identity_of_a_track_and_the_rest_does_not(zoo):
    official = zoo.track().identity()
    for shown in ("summary=other", "columns=[codes.usage]", "seeds=5"):
        assert zoo.track(shown).identity() == official
    for counted in ("tokenizer.steps=101", "augment.flip=true", "probe.ar.layers=4", "dataset.classes=2",
                    "metrics=[{use: psnr, window: 7}]", "evaluation_batch=2"):  # fmt: skip
        assert zoo.track(counted).identity() != official


SEMANTIC = "regularizers.semantic={use: semantic, teacher: {use: dino, model: vit}}"
ENSEMBLE = (
    "regularizers.e={use: ensemble, guides: [clip, {use: dino, model: x}], mixture: {main: clip}, extra: {a: clip}}"
)


def test_a_reference_is_resolved_into_a_slot(zoo):
    teacher = zoo.recipe(SEMANTIC).regularizers["semantic"].config.teacher
    assert (teacher.kind, teacher.use, teacher.config.model) == ("teacher", "dino", "vit")
    by_name = zoo.recipe(SEMANTIC, "regularizers.semantic.teacher=clip").regularizers["semantic"].config.teacher
    assert by_name.use == "clip"


def test_references_are_found_wherever_they_stand(zoo):
    config = zoo.recipe(ENSEMBLE).regularizers["e"].config
    assert [slot.use for slot in config.guides] == ["clip", "dino"]
    assert config.mixture.main.use == config.extra["a"].use == config.fallback.use == "clip"


REFERENCE_MISTAKES = """
regularizers.semantic.teacher.modle=x
    regularizers.semantic.teacher.modle: unknown; did you mean 'model'?
regularizers.semantic.teacher.use=dinno
    regularizers.semantic.teacher.use: teacher 'dinno': unknown; did you mean 'dino'?
regularizers.semantic.teacher.use=vq
    regularizers.semantic.teacher.use: teacher 'vq': unknown; 'vq' is a component of kind quantizer
regularizers.semantic.teacher={use: clip, size: x}
    regularizers.semantic.teacher.size: input should be 'b' or 'l', not 'x'
regularizers.semantic.teacher=null
    regularizers.semantic.teacher: missing; give the name of one: clip, dino
regularizers.semantic.teacher.scale=inf
    regularizers.semantic.teacher.scale: must be a finite number, not inf
regularizers.e.guides=[clip, {use: dino, model: y, modle: x}]
    regularizers.e.guides.1.modle: unknown; did you mean 'model'?
regularizers.e.guides=[clip, dino]
    regularizers.e.guides.1.model: missing
regularizers.e.mixture.main.siez=l
    regularizers.e.mixture.main.siez: unknown; did you mean 'size'?
regularizers.e.mixture.shares=1
    regularizers.e.mixture.shares: unknown; did you mean 'share'?
regularizers.e.extra.a=clop
    regularizers.e.extra.a.use: teacher 'clop': unknown; did you mean 'clip'?
regularizers.e.fallback=clop
    regularizers.e.fallback.use: teacher 'clop': unknown; did you mean 'clip'?
"""


@pytest.mark.parametrize(("override", "said"), table(REFERENCE_MISTAKES))
def test_a_mistake_inside_a_reference_is_placed_where_it_was_written(zoo, override, said):
    texts = [ENSEMBLE if override.startswith("regularizers.e.") else SEMANTIC, override]
    assert mistakes(zoo.recipe, *texts) == [f"{said} (command line)"]


def test_mistakes_inside_and_beside_a_reference_are_told_together(zoo):
    texts = [
        SEMANTIC,
        "regularizers.semantic.teacher.modle=x",
        "regularizers.semantic.tapp=3",
        "regularizers.semantic.weight=x",
    ]
    places = {line.partition(":")[0] for line in mistakes(zoo.recipe, *texts)}
    assert places == {f"regularizers.semantic.{name}" for name in ("teacher.modle", "tapp", "weight")}


def test_a_slot_resolves_alone(zoo):
    at = Resolver(Tree.from_data({"slot": {"use": "vq", "codes": 16}}, "somewhere"), zoo.registry.components)
    assert at.slot("quantizer", ("slot",)).config.codes == 16


def test_the_real_components_answer_alike():
    catalogue = load_registry(strict=True).components

    def resolve(text):
        at = Resolver(Tree.from_text(f"quantizer: {text}", "mine.yaml"), catalogue)
        return at.slot("quantizer", ("quantizer",))

    assert resolve("{use: vq, codes: 64, revive: {}}").config.revive.decay == 0.99
    assert mistakes(resolve, "{use: vq, codez: 64}") == [
        "quantizer.codez: unknown; did you mean 'codes'? (mine.yaml:1)"
    ]
    assert mistakes(resolve, "{use: vq, revive: {decoy: 0.5}}") == [
        "quantizer.revive.decoy: unknown; did you mean 'decay'? (mine.yaml:1)"
    ]
    assert "set warmup to 1 or more steps" in mistakes(resolve, "{use: vq, kmeans: true}")[0]
    assert mistakes(resolve, "{use: fsq, levels: [8, 1]}")[0].startswith("quantizer.levels: a channel needs at least 2")
