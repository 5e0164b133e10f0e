from tokzoo.recipes.explain import explain_recipe, explain_track


def told(lines):
    return {line.key: (line.value, line.origin) for line in lines}


def test_every_value_of_a_recipe_is_told_with_its_origin(zoo):
    own = zoo.file("mine.yaml", "extends: base\nquantizer:\n  warmup: 3\nregularizers: {mine: l2}\n")
    lines = told(explain_recipe(zoo.recipe("quantizer.codes=128", "train.tokenizer.betas=[0.8, 0.9]", of=own)))
    assert told(explain_recipe(zoo.recipe(of=own)))["name"] == ("mine", "mine.yaml")
    assert lines["name"] == ("mine quantizer.codes=128 train.tokenizer.betas=[0.8, 0.9]", "command line")
    assert lines["summary"] == ("a recipe to change", "base.yaml:3")
    assert lines["quantizer.use"] == ("vq", "base.yaml:6")
    assert lines["quantizer.codes"] == ("128", "command line")
    assert lines["quantizer.dim"] == ("4", "base.yaml:8")
    assert lines["quantizer.warmup"] == ("3", "mine.yaml:3")
    assert lines["quantizer.revive"] == ("null", "default")
    assert lines["train.tokenizer.betas"] == ("[0.8,0.9]", "command line")
    assert lines["train.tokenizer.clip"] == ("1.0", "default")
    assert lines["regularizers.entropy.weight"] == ("0.1", "base.yaml:12")


def test_a_component_written_as_a_bare_name_is_no_default(zoo):
    own = zoo.file("mine.yaml", "extends: base\nregularizers: {mine: l2}\n")
    lines = told(explain_recipe(zoo.recipe("encoder=line", "decoder.layers=3", of=own)))
    assert lines["decoder.use"] == ("grid", "base.yaml:9")
    assert lines["decoder.layers"] == ("3", "command line")
    assert lines["regularizers.mine.use"] == ("l2", "mine.yaml:2")
    assert lines["regularizers.mine.weight"] == ("1.0", "default")
    assert lines["encoder.use"] == ("line", "command line")
    assert lines["encoder.tokens"] == ("16", "default")


def test_what_a_swap_dropped_is_not_told(zoo):
    lines = told(explain_recipe(zoo.recipe("quantizer=fsq", "regularizers.entropy=null")))
    assert lines["quantizer.levels"] == ("[8,8,8]", "default")
    assert not {"quantizer.codes", "regularizers.entropy.weight"} & lines.keys()


def test_a_referenced_component_is_told_in_full(zoo):
    text = "regularizers.s={use: semantic, teacher: {use: dino, model: vit}}"
    lines = told(explain_recipe(zoo.recipe(text)))
    assert lines["regularizers.s.teacher.model"] == ("vit", "command line")
    assert lines["regularizers.s.teacher.scale"] == ("1.0", "default")


def test_every_value_of_a_track_is_told_with_its_origin(zoo):
    lines = told(explain_track(zoo.track("probe.ar.layers=4")))
    assert lines["track.dataset.use"] == ("toys", "toy@1.yaml:5")
    assert lines["track.probe.ar.layers"] == ("4", "command line")
    assert lines["track.probe.steps"] == ("50", "toy@1.yaml:10")
    assert lines["track.probe.sampler.schedule.use"] == ("linear", "default")
    assert lines["track.evaluation_batch"] == ("250", "default")
    assert all(key.startswith("track.") for key in lines)


def test_lines_are_json(zoo):
    assert explain_recipe(zoo.recipe())[0].as_dict() == {"key": "name", "value": "base", "origin": "base.yaml:2"}
