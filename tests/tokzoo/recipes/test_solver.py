"""The solver agrees every shape in pure Python, or says which edge failed, why, and what would fit."""

import subprocess
import sys
from typing import ClassVar

import pytest

import tokzoo
from tokzoo.recipes.models import PARTS
from tokzoo.recipes.resolve import probe_of, resolve_recipe
from tokzoo.recipes.solver import check_ar, solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Entry
from tokzoo.registry.plugins import load_registry

IMAGE = tokzoo.ImageSpec(3, (32, 32))


@pytest.fixture
def chain(zoo):
    def make(*overrides, image=IMAGE):
        return solve(zoo.recipe(*overrides), image, 10, zoo.registry.components)

    return make


@pytest.fixture
def refusal(chain):
    def make(*overrides, **image):
        with pytest.raises(tokzoo.Refusal) as error:
            chain(*overrides, **image)
        return str(error.value)

    return make


def test_shapes_are_agreed_from_image_to_codes(chain):
    solved = chain()
    assert solved.latent == solved.quantized == tokzoo.LatentSpec("grid", (4, 4), 4)
    assert solved.codes == tokzoo.CodeSpec((4, 4), (64,))
    assert solved.feature_map == tokzoo.FeatureMapSpec(32, (4, 4))
    assert (solved.image, solved.classes, solved.hidden) == (IMAGE, 10, {})


def test_the_encoder_projects_to_the_channels_the_quantizer_wants(chain):
    assert chain("quantizer.dim=7").latent.channels == 7
    swap = ["quantizer.use=fsq", "quantizer.levels=[5,5]", "regularizers.entropy=null"]
    assert chain(*swap).latent.channels == 2
    assert chain("quantizer.use=none", "regularizers.entropy=null").latent.channels == 32


def test_a_continuous_quantizer_has_no_codes(chain):
    assert chain("quantizer.use=none", "regularizers.entropy=null").codes is None


def test_taps_are_served_by_the_decoder(chain):
    semantic = "regularizers.s{}={{use: semantic, tap: {}, teacher: {{use: dino, model: x}}}}"
    solved = chain(semantic.format(1, 2), semantic.format(2, 4), semantic.format(3, 2))
    assert solved.hidden == {2: tokzoo.HiddenSpec((4, 4), 64), 4: tokzoo.HiddenSpec((4, 4), 64)}


def test_a_decoder_that_does_not_fit_is_refused_with_those_that_would(refusal):
    assert (
        refusal("decoder=line")
        == "quantizer → decoder: decoder 'line' wants a sequence; would fit instead: deep-grid, grid"
    )
    assert refusal("encoder=line") == "quantizer → decoder: decoder 'grid' wants a grid; would fit instead: line"


def test_an_encoder_that_does_not_fit_is_refused_with_those_that_would(refusal):
    text = refusal(image=tokzoo.ImageSpec(3, (30, 30)))
    assert text == "image → encoder: encoder 'grid' wants sides that are multiples of 8; would fit instead: line"


def test_a_quantizer_that_does_not_fit_is_refused_with_those_that_would(refusal):
    text = refusal("quantizer=scales", "encoder=line", "decoder=line", "regularizers.entropy=null")
    assert text == "encoder → quantizer: quantizer 'scales' wants a grid; would fit instead: fsq, none, vq"


def test_another_quantizer_is_asked_about_the_latent_it_would_be_given(zoo):
    class Picky(tokzoo.QuantizerConfig):
        def wants(self, layout):
            return 5

        def code_spec(self, latent):
            raise tokzoo.Refusal("is never content")

    spec = tokzoo.ComponentSpec("quantizer", "picky", Picky, "a:b", "for tests")
    zoo.registry.components.add(Entry(spec, "zoo"))
    recipe = zoo.recipe("quantizer=picky", "regularizers.entropy=null")
    with pytest.raises(tokzoo.Refusal, match="is never content; would fit instead: fsq, none, scales, vq"):
        solve(recipe, IMAGE, 10, zoo.registry.components)


@pytest.mark.parametrize("tap", [0, 5, 9])
def test_a_tap_beyond_the_depth_is_refused_with_decoders_that_reach_it(refusal, tap):
    text = refusal(f"regularizers.s={{use: semantic, tap: {tap}, teacher: {{use: dino, model: x}}}}")
    edge = f"decoder → regularizers.s: decoder 'grid' has 4 layers, and none to tap at {tap}; "
    assert text == edge + (
        "would fit instead: deep-grid"
        if tap
        else "with its defaults, no other decoder fits (there is clumsy, deep-grid, line)"
    )


def test_a_missing_capability_is_told_with_who_has_it(refusal):
    text = refusal("quantizer=fsq")
    assert text.startswith("tokenizer → regularizers.entropy: regularizer 'entropy' needs the capability 'assignment'")
    assert "encoder 'grid', quantizer 'fsq', decoder 'grid' do not provide" in text
    assert text.endswith("provided by quantizer 'vq'")


def test_a_capability_may_be_required_of_one_part(zoo):
    class Encoder(tokzoo.EncoderConfig):
        layout = "grid"
        provides = frozenset({"manners"})

        def latent_spec(self, image, channels):
            return tokzoo.LatentSpec("grid", (4, 4), channels or 8)

    class Strict(tokzoo.RegularizerConfig):
        requires = frozenset({"decoder.manners"})

    class Content(tokzoo.RegularizerConfig):
        requires = frozenset({"manners", "encoder.manners"})

    for kind, config in (("encoder", Encoder), ("regularizer", Strict), ("regularizer", Content)):
        spec = tokzoo.ComponentSpec(kind, config.__name__.lower(), config, "a:b", "for tests")
        zoo.registry.components.add(Entry(spec, "zoo"))
    solve(zoo.recipe("encoder=encoder", "regularizers.own=content"), IMAGE, 10, zoo.registry.components)
    wanted = "needs the capability 'decoder.manners', which decoder 'grid' does not provide; no registered"
    with pytest.raises(tokzoo.Refusal, match=wanted):
        solve(zoo.recipe("encoder=encoder", "regularizers.own=strict"), IMAGE, 10, zoo.registry.components)


def test_a_part_may_require_something_of_another_part(zoo):
    class Proud(tokzoo.DecoderConfig):
        requires = frozenset({"manners"})
        provides = frozenset({"manners"})

        def accepts(self, latent, image):
            pass

    spec = tokzoo.ComponentSpec("decoder", "proud", Proud, "a:b", "for tests")
    zoo.registry.components.add(Entry(spec, "zoo"))
    with pytest.raises(tokzoo.Refusal, match=r"tokenizer → decoder: decoder 'proud' needs .*no registered component"):
        solve(zoo.recipe("decoder=proud"), IMAGE, 10, zoo.registry.components)


def test_a_regularizer_that_cannot_work_here_is_refused(chain, refusal):
    assert chain("regularizers.short=shortcut").feature_map
    text = refusal("regularizers.short=shortcut", "encoder=line", "decoder=line")
    assert text.startswith("tokenizer → regularizers.short: regularizer 'shortcut' wants a feature map")
    assert "would fit instead: ensemble, entropy, l2" in text


def test_an_ar_model_that_cannot_learn_the_codes_is_refused(zoo):
    recipe, track = zoo.recipe("quantizer=scales", "regularizers.entropy=null"), zoo.track()
    catalogue = zoo.registry.components
    chain = solve(recipe, IMAGE, 10, catalogue)
    with pytest.raises(tokzoo.Refusal) as error:
        check_ar(probe_of(recipe, track).ar, recipe, chain, catalogue)
    assert str(error.value) == (
        "quantizer → ar: ar 'gpt' learns one level, not 2; would fit instead: any (offered: 4×4 codes of 64×64)"
    )
    check_ar(probe_of(zoo.recipe("ar=any"), track).ar, recipe, chain, catalogue)


def test_an_ar_model_is_refused_what_no_part_of_the_tokenizer_provides(zoo):
    class Scaled(tokzoo.ARConfig):
        sampler: ClassVar = tokzoo.NoSampler

        @property
        def requires(self):
            return frozenset({"next_scale"})

        def accepts(self, tokens):
            assert "next_scale" not in tokens.provides

    catalogue = zoo.registry.components
    catalogue.add(Entry(tokzoo.ComponentSpec("ar", "me/scaled", Scaled, "me:Scaled", "reads scales"), "me"))
    recipe = zoo.recipe("ar=me/scaled", "regularizers.entropy=null")
    with pytest.raises(tokzoo.Refusal, match="needs the capability 'next_scale', which encoder 'grid', quantizer"):
        check_ar(probe_of(recipe, zoo.track()).ar, recipe, solve(recipe, IMAGE, 10, catalogue), catalogue)


def test_the_real_components_are_solved_and_refused():
    catalogue = load_registry(strict=True).components
    image = tokzoo.ImageSpec(1, (32, 32))

    def resolve(**slots):
        small = {"size": "tiny", "multipliers": [1, 1, 1, 1]}
        slots = {kind: {**({} if kind == "quantizer" else small), **slots[kind]} for kind in PARTS}
        return resolve_recipe(Tree.from_data(slots, "test"), catalogue)

    grid = {"encoder": {"use": "gigatok-vit"}, "decoder": {"use": "gigatok-vit"}}
    solved = solve(resolve(**grid, quantizer={"use": "fsq", "levels": [5, 5]}), image, 10, catalogue)
    assert solved.codes == tokzoo.CodeSpec((4, 4), (25,))
    assert solved.latent.channels == 2
    line = {"encoder": {"use": "gigatok-qformer", "tokens": 16}, "decoder": {"use": "gigatok-vit"}}
    with pytest.raises(
        tokzoo.Refusal, match=r"quantizer → decoder: decoder 'gigatok-vit' wants a 4×4 grid.*gigatok-qformer"
    ):
        solve(resolve(**line, quantizer={"use": "vq"}), image, 10, catalogue)


def test_solving_imports_no_torch():
    script = (
        "import sys\n"
        "from tokzoo import ImageSpec\n"
        "from tokzoo.recipes.resolve import resolve_recipe\n"
        "from tokzoo.recipes.solver import solve\n"
        "from tokzoo.recipes.tree import Tree\n"
        "from tokzoo.registry.plugins import load_registry\n"
        "catalogue = load_registry(strict=True).components\n"
        "slots = {'encoder': 'gigatok-vit', 'quantizer': 'vq', 'decoder': 'gigatok-vit'}\n"
        "recipe = resolve_recipe(Tree.from_data({**slots, 'regularizers': {'e': 'entropy'}}, 'test'), catalogue)\n"
        "assert solve(recipe, ImageSpec(3, (256, 256)), 10, catalogue).codes.positions == 256\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
