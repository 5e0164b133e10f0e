"""What fits together is found by asking the configs; each misfit is told with its reason, and of whoever refuses."""

import subprocess
import sys
from collections import Counter
from typing import ClassVar

import pytest
from pydantic import Field

import tokzoo
from tokzoo.recipes.compat import compatibility, partners
from tokzoo.registry.catalogue import Catalogue, Entry

WANTS_SEQUENCE = "quantizer → decoder: decoder 'line' wants a sequence"
WANTS_GRID = "quantizer → decoder: decoder 'grid' wants a grid"
ONE_LEVEL = "quantizer → ar: ar 'gpt' learns one level, not 2"


@pytest.fixture
def catalogue(make_catalogue):
    """The zoo: grids and lines, ``scales`` for grids alone, ``none`` without codes, and a clumsy decoder."""
    return make_catalogue()


def add(catalogue, kind, name, config, **example):
    spec = tokzoo.ComponentSpec(kind, name, config, "somewhere:Class", "for tests", example=example)
    catalogue.add(Entry(spec, "stranger"))


def refusals(catalogue, *args, **globs):
    """The refusals by combination, each an ``encoder quantizer decoder ar`` of the globs."""
    fits = compatibility(catalogue, *args, globs=globs)
    return {
        " ".join(str(getattr(fit, each)) for each in ("encoder", "quantizer", "decoder", "ar")): fit for fit in fits
    }


def test_every_combination_is_there_once(catalogue):
    fits = compatibility(catalogue)
    counts = Counter((fit.encoder, fit.quantizer, fit.decoder) for fit in fits)
    assert len(counts) == 2 * 4 * 4
    # Without codes no AR model is asked.
    assert {key: count for key, count in counts.items() if count != 2} == {
        (encoder, "none", decoder): 1
        for encoder in ("grid", "line")
        for decoder in ("clumsy", "deep-grid", "grid", "line")
    }


def test_the_solvers_answer_is_the_answer(zoo, catalogue):
    """What fits here is what a recipe of the same components makes of it."""
    from tokzoo.recipes.solver import check_ar, solve

    image = tokzoo.ImageSpec(3, (32, 32))

    def told(recipe, probe):
        try:
            chain = solve(recipe, image, 10, catalogue)
            if probe:
                check_ar(probe.ar, recipe, chain, catalogue)
        except tokzoo.Refusal as refusal:
            # Hints apart.
            return str(refusal).partition("; ")[0]
        return ""

    for fit in compatibility(catalogue, image, 10, {"decoder": "[gl]*"}):
        own = [f"{part}={getattr(fit, part)}" for part in ("encoder", "quantizer", "decoder")]
        recipe = zoo.recipe(*own, "regularizers.entropy=null")
        probe = zoo.track(f"probe.ar={{use: {fit.ar}}}").probe if fit.ar else None
        assert told(recipe, probe) == (fit.refusal or "")


def test_each_reason_lands_on_its_combinations(catalogue):
    said = refusals(catalogue, decoder="[gl]*")
    expected = {}
    for ar in ("any", "gpt"):
        for quantizer in ("fsq", "vq"):
            expected |= {
                f"grid {quantizer} grid {ar}": None,
                f"grid {quantizer} line {ar}": (WANTS_SEQUENCE, "decoder"),
            }
            expected |= {f"line {quantizer} line {ar}": None, f"line {quantizer} grid {ar}": (WANTS_GRID, "decoder")}
        only_grids = ("encoder → quantizer: quantizer 'scales' wants a grid", "quantizer")
        expected |= {f"line scales grid {ar}": only_grids, f"line scales line {ar}": only_grids}
        expected[f"grid scales line {ar}"] = (WANTS_SEQUENCE, "decoder")
    expected |= {"grid scales grid gpt": (ONE_LEVEL, "ar"), "grid scales grid any": None}
    expected |= {"grid none grid None": None, "line none line None": None}
    expected |= {"grid none line None": (WANTS_SEQUENCE, "decoder"), "line none grid None": (WANTS_GRID, "decoder")}
    assert {key: (fit.refusal, fit.by) if fit.refusal else None for key, fit in said.items()} == expected


def test_the_image_and_the_classes_are_asked_about(catalogue):
    class Unconditional(tokzoo.ARConfig):
        sampler: ClassVar = tokzoo.Config

        def accepts(self, tokens):
            if tokens.classes is not None:
                raise tokzoo.Refusal("knows no classes")

    add(catalogue, "ar", "free", Unconditional)
    small = refusals(catalogue, tokzoo.ImageSpec(1, (30, 30)), None, encoder="grid", decoder="grid", quantizer="vq")
    assert {fit.refusal for fit in small.values()} == {
        "image → encoder: encoder 'grid' wants sides that are multiples of 8"
    }
    assert {fit.by for fit in small.values()} == {"encoder"}
    chosen = {"encoder": "grid", "decoder": "grid", "quantizer": "vq", "ar": "free"}
    image = tokzoo.ImageSpec(3, (32, 32))
    assert refusals(catalogue, image, None, **chosen)["grid vq grid free"].refusal is None
    assert "knows no classes" in refusals(catalogue, image, 5, **chosen)["grid vq grid free"].refusal


def test_a_component_that_raises_is_told_as_its_own_fault_and_harms_nobody_else(catalogue):
    before = set(compatibility(catalogue))

    class Raises(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            raise KeyError("codes\nof mine")

    add(catalogue, "quantizer", "me/raises", Raises)
    after = set(compatibility(catalogue))
    assert before < after
    faults = {(fit.refusal, fit.by) for fit in after - before}
    assert faults == {("encoder → quantizer: quantizer 'me/raises' raised KeyError: 'codes\\nof mine'", "quantizer")}
    clumsy = {(fit.refusal, fit.by) for fit in before if fit.decoder == "clumsy" and fit.quantizer == "vq"}
    assert clumsy == {("quantizer → decoder: decoder 'clumsy' raised ZeroDivisionError: no message", "decoder")}


def test_an_answer_of_another_type_is_the_fault_of_who_gives_it(catalogue):
    class Forgets(tokzoo.EncoderConfig):
        layout: ClassVar = "grid"

        def latent_spec(self, image, channels):
            tokzoo.LatentSpec("grid", (4, 4), channels)

    class Hands(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            return (4, 4)

    add(catalogue, "encoder", "me/forgets", Forgets)
    add(catalogue, "quantizer", "me/hands", Hands)
    forgot = {
        (fit.refusal, fit.by) for fit in compatibility(catalogue, globs={"encoder": "me/*", "quantizer": "[fv]*"})
    }
    assert forgot == {
        ("image → encoder: encoder 'me/forgets' raised TypeError: latent_spec returned None, not LatentSpec", "encoder")
    }
    hands = {(fit.refusal, fit.by) for fit in compatibility(catalogue, globs={"encoder": "grid", "quantizer": "me/*"})}
    assert hands == {
        (
            "encoder → quantizer: quantizer 'me/hands' raised TypeError: code_spec returned (4, 4), "
            "not CodeSpec or NoneType",
            "quantizer",
        )
    }


@pytest.mark.parametrize(
    ("kind", "example", "said"),
    [
        ("quantizer", {"codez": 3}, "example.codez: unknown; did you mean 'codes'?"),
        ("quantizer", {"codes": 1}, "example.codes: input should be greater than or equal to 2"),
        ("quantizer", 7, "TypeError: "),
        ("ar", {"nothing": 1}, "example.nothing: unknown"),
        ("encoder", {"nothing": 1}, "example.nothing: unknown"),
        ("decoder", {}, "plugin stranger: component decoder/me/odd: cannot load nowhere:Config"),
    ],
)
def test_an_example_that_is_no_config_is_a_fault_of_its_component(catalogue, kind, example, said):
    class Layered(tokzoo.ARConfig):
        sampler: ClassVar = tokzoo.Config

        def accepts(self, tokens):
            pass

    class Codes(tokzoo.QuantizerConfig):
        codes: int = Field(8, ge=2)

        def code_spec(self, latent):
            return tokzoo.CodeSpec(latent.shape, (self.codes,))

    class Grid(tokzoo.EncoderConfig):
        layout: ClassVar = "grid"

        def latent_spec(self, image, channels):
            return tokzoo.LatentSpec("grid", (4, 4), 8)

    before = set(compatibility(catalogue))
    config = {"quantizer": Codes, "ar": Layered, "encoder": Grid, "decoder": "nowhere:Config"}[kind]
    spec = tokzoo.ComponentSpec(kind, "me/odd", config, "somewhere:Class", "for tests", example=example)
    catalogue.add(Entry(spec, "stranger"))
    after = set(compatibility(catalogue))
    assert before < after
    new = {fit for fit in after - before if fit.by == kind and "me/odd" in fit.refusal}
    assert new
    assert not [fit for fit in after - before if fit.refusal is None]
    for fit in new:
        assert fit.refusal.startswith(f"{kind} 'me/odd': its example is no config: ")
        assert said in fit.refusal
        assert "\n" not in fit.refusal


def test_the_example_is_what_is_tried(catalogue):
    spec = catalogue.get("encoder", "grid").spec
    add(catalogue, "encoder", "coarse", spec.config, stride=5)
    (fit,) = compatibility(catalogue, globs={"encoder": "coarse", "quantizer": "vq", "decoder": "grid", "ar": "gpt"})
    assert fit.refusal == "image → encoder: encoder 'coarse' wants sides that are multiples of 5"


def test_a_missing_capability_is_told_without_who_would_have_it(catalogue):
    class Proud(tokzoo.DecoderConfig):
        requires = frozenset({"manners"})

        def accepts(self, latent, image):
            pass

    add(catalogue, "decoder", "proud", Proud)
    (fit,) = compatibility(catalogue, globs={"encoder": "grid", "quantizer": "vq", "decoder": "proud", "ar": "any"})
    assert fit.refusal == (
        "tokenizer → decoder: decoder 'proud' needs the capability 'manners', "
        "which encoder 'grid', quantizer 'vq' do not provide"
    )


def test_globs_choose_and_a_name_there_is_none_of_gets_the_nearest(catalogue):
    assert {fit.decoder for fit in compatibility(catalogue, globs={"decoder": "*grid"})} == {"deep-grid", "grid"}
    assert {fit.quantizer for fit in compatibility(catalogue, globs={"quantizer": "?sq", "ar": None})} == {"fsq"}
    with pytest.raises(tokzoo.TokzooError, match=r"quantizer 'fqs': none has such a name; did you mean 'fsq'\?"):
        compatibility(catalogue, globs={"quantizer": "fqs"})


def test_without_ar_models_tokenizers_are_combined_all_the_same():
    catalogue = Catalogue()
    assert compatibility(catalogue) == []

    class Grid(tokzoo.EncoderConfig):
        layout: ClassVar = "grid"

        def latent_spec(self, image, channels):
            return tokzoo.LatentSpec("grid", (4, 4), 8)

    class One(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            return tokzoo.CodeSpec(latent.shape, (2,))

    class Any(tokzoo.DecoderConfig):
        def accepts(self, latent, image):
            pass

    for kind, config in (("encoder", Grid), ("quantizer", One), ("decoder", Any)):
        add(catalogue, kind, "it", config)
    (fit,) = compatibility(catalogue)
    assert (fit.ar, fit.refusal) == (None, None)


def test_a_question_is_not_asked_again_for_parts_that_change_nothing_about_it(catalogue):
    asked = Counter()

    class Counting(tokzoo.EncoderConfig):
        layout: ClassVar = "grid"

        def latent_spec(self, image, channels):
            return tokzoo.LatentSpec("grid", (4, 4), channels or 8)

        def feature_map_spec(self, image):
            asked["encoder"] += 1

    class Learner(tokzoo.ARConfig):
        sampler: ClassVar = tokzoo.Config

        def accepts(self, tokens):
            asked["ar"] += 1

    class Reader(tokzoo.DecoderConfig):
        def accepts(self, latent, image):
            asked["decoder"] += 1

    add(catalogue, "encoder", "me/counting", Counting)
    add(catalogue, "decoder", "me/reader", Reader)
    for name in ("me/a", "me/b"):
        add(catalogue, "ar", name, Learner)
    fits = compatibility(catalogue, globs={"encoder": "me/*", "quantizer": "[fv]*"})
    assert len(fits) == 1 * 2 * 5 * 4
    assert asked == {"encoder": 2, "decoder": 2, "ar": 2 * 2}


def test_partners_of_a_part(catalogue):
    assert partners(catalogue, "encoder", "line") == {
        "quantizer": {
            "fsq": None,
            "none": None,
            "scales": "encoder → quantizer: quantizer 'scales' wants a grid",
            "vq": None,
        },
        "decoder": {
            "clumsy": "quantizer → decoder: decoder 'clumsy' raised ZeroDivisionError: no message",
            "deep-grid": "quantizer → decoder: decoder 'deep-grid' wants a grid",
            "grid": WANTS_GRID,
            "line": None,
        },
        "ar": {"any": None, "gpt": None},
    }


def test_partners_of_an_ar_model_and_of_a_quantizer_without_codes(catalogue):
    told = partners(catalogue, "ar", "gpt")
    assert set(told) == {"encoder", "quantizer", "decoder"}
    no_codes = "quantizer → ar: quantizer 'none' makes no codes for an AR model to learn"
    assert told["quantizer"] == {"fsq": None, "none": no_codes, "scales": ONE_LEVEL, "vq": None}
    assert told["encoder"] == {"grid": None, "line": None}
    assert partners(catalogue, "quantizer", "none") == {
        "encoder": {"grid": None, "line": None},
        "decoder": partners(catalogue, "quantizer", "vq")["decoder"],
        "ar": {"any": no_codes, "gpt": no_codes},
    }


def test_partners_of_a_regularizer_are_the_parts_it_accepts(catalogue):
    told = partners(catalogue, "regularizer", "shortcut")
    wants = "tokenizer → regularizers.shortcut: regularizer 'shortcut' wants a feature map, and the encoder gives none"
    assert told["encoder"] == {"grid": None, "line": wants}
    assert told["decoder"]["grid"] is None
    assert told["decoder"]["line"] == wants
    needs = partners(catalogue, "regularizer", "entropy")["quantizer"]
    assert needs["vq"] is None
    assert "needs the capability 'assignment'" in needs["fsq"]
    assert "ar" not in told


def test_partners_of_a_faulty_component_are_none_for_its_fault(catalogue):
    told = partners(catalogue, "regularizer", "semantic")
    assert set(told) == {"encoder", "quantizer", "decoder"}
    (fault,) = {reason for reasons in told.values() for reason in reasons.values()}
    assert fault.startswith("regularizer 'semantic': its example is no config: example.teacher: missing")

    class Tapless(tokzoo.RegularizerConfig):
        def taps(self):
            raise AttributeError("tap")

    add(catalogue, "regularizer", "me/tapless", Tapless)
    reason = "tokenizer → regularizers.me/tapless: regularizer 'me/tapless' raised AttributeError: tap"
    assert partners(catalogue, "regularizer", "me/tapless")["quantizer"]["vq"] == reason


def test_partners_of_other_kinds(catalogue):
    class Judge(tokzoo.MetricConfig):
        stage: ClassVar = "reconstruction"
        reports: ClassVar = ()
        datasets: ClassVar = frozenset({"elsewhere", "there"})

        def protocol(self):
            return {}

    add(catalogue, "metric", "judge", Judge)
    reason = "metric 'judge' means something on elsewhere, there only"
    assert partners(catalogue, "metric", "judge") == {"dataset": {"toys": reason}}
    assert partners(catalogue, "metric", "psnr") == {"dataset": {"toys": None}}
    assert partners(catalogue, "dataset", "toys") == {"metric": {"ar-loss": None, "judge": reason, "psnr": None}}
    assert partners(catalogue, "teacher", "clip") == {}
    with pytest.raises(tokzoo.TokzooError, match="did you mean 'gpt'"):
        partners(catalogue, "ar", "gpd")


def test_the_matrix_of_what_is_installed_imports_no_torch():
    script = (
        "import sys\n"
        "from tokzoo.recipes.compat import compatibility\n"
        "from tokzoo.registry.plugins import load_registry\n"
        "fits = compatibility(load_registry(strict=True).components)\n"
        "reasons = {fit.refusal for fit in fits}\n"
        "assert None in reasons\n"
        "assert not [why for why in reasons if why and ('raised' in why or 'its example' in why)]\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
