"""``tokzoo compat``: the matrix as people and as machines read it."""

import json
from textwrap import dedent

PLUGIN = dedent(
    """
    from typing import ClassVar

    import tokzoo


    class Pairs(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            return tokzoo.CodeSpec(latent.shape, (64, 64))


    class Continuous(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            return None


    class Broken(tokzoo.QuantizerConfig):
        def code_spec(self, latent):
            raise ZeroDivisionError("by nothing")


    class OnGrids(tokzoo.ARConfig):
        sampler: ClassVar = tokzoo.Config

        def accepts(self, tokens):
            if len(tokens.codes.shape) != 2:
                raise tokzoo.Refusal("wants a grid")
            if tokens.classes is None:
                raise tokzoo.Refusal("wants classes")


    @tokzoo.hookimpl
    def tokzoo_components():
        offered = [("quantizer", "pairs", Pairs), ("quantizer", "continuous", Continuous)]
        offered += [("quantizer", "broken", Broken), ("ar", "on-grids", OnGrids)]
        return [tokzoo.ComponentSpec(kind, f"me/{name}", config, "a:b", "for tests") for kind, name, config in offered]
    """
)
GIGATOK = ["--encoder", "gigatok-*", "--decoder", "gigatok-*"]


def rows(text):
    """The cells of the tables' rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def notes(text):
    """The footnotes by number."""
    lines = [line.strip().partition("  ") for line in text.splitlines() if line.startswith("  ")]
    return {number: reason for number, _, reason in lines if number.isdigit()}


def test_the_matrix_for_people(tokzoo):
    (tokzoo.folder / "my.py").write_text(PLUGIN)
    text = tokzoo("compat", "--plugin", "my.py", *GIGATOK, "--quantizer", "[mv][eq]*", "--ar", "[gm][pe]*").stdout
    assert text.startswith("tokenizers of a 3×32×32 image, 10 classes")
    told = notes(text)
    number = {reason: n for n, reason in told.items()}
    broken = number["encoder → quantizer: quantizer 'me/broken' raised ZeroDivisionError: by nothing"]
    grid = number["quantizer → decoder: decoder 'gigatok-vit' wants a 4×4 grid, not a sequence of 16"]
    sequence = number["quantizer → decoder: decoder 'gigatok-qformer' wants a sequence, not a 4×4 grid"]
    (levels,) = (n for n, reason in told.items() if "these have 2 levels" in reason)
    line = number["quantizer → ar: ar 'me/on-grids' wants a grid (with encoder gigatok-qformer)"]
    assert "would fit" not in text
    table = rows(text)
    # Columns: me/broken, me/continuous, me/pairs, vq.
    assert table[:4] == [
        ["gigatok-qformer", "gigatok-qformer", broken, "✓", "✓", "✓"],
        ["", "gigatok-vit", broken, grid, grid, grid],
        ["gigatok-vit", "gigatok-qformer", broken, sequence, sequence, sequence],
        ["", "gigatok-vit", broken, "✓", "✓", "✓"],
    ]
    models = {row[0]: row[1:] for row in table[4:]}
    assert models["gpt"] == ["–", "–", levels, "✓"]
    assert models["me/on-grids"] == ["–", "–", f"✓ {line}", f"✓ {line}"]
    # Each of the four pairs with three quantizers and two AR models, and once without codes to learn.
    assert text.splitlines()[-1] == f"6 of {4 * (3 * 2 + 1)} combinations fit"


def test_the_matrix_for_machines(tokzoo):
    (tokzoo.folder / "my.py").write_text(PLUGIN)
    wanted = ["--quantizer", "vq", "--ar", "me/*", "--decoder", "gigatok-vit", "--encoder", "gigatok-*"]
    fits = json.loads(tokzoo("compat", "--plugin", "my.py", *wanted, "--json").stdout)
    common = {"quantizer": "vq", "decoder": "gigatok-vit", "ar": "me/on-grids"}
    refusal = "quantizer → decoder: decoder 'gigatok-vit' wants a 4×4 grid, not a sequence of 16"
    assert fits == [
        {"encoder": "gigatok-qformer", **common, "refusal": refusal, "by": "decoder"},
        {"encoder": "gigatok-vit", **common, "refusal": None, "by": None},
    ]


def test_the_images_of_a_track(tokzoo):
    one = ["--encoder", "gigatok-vit", "--decoder", "gigatok-vit", "--quantizer", "fsq", "--ar", "gpt"]
    text = tokzoo("compat", "--track", "fashion-nano", *one).stdout
    assert text.startswith("tokenizers of a 1×32×32 image, 10 classes")
    assert text.splitlines()[-1] == "1 of 1 combinations fit"


def test_a_track_whose_files_are_elsewhere(tokzoo):
    done = tokzoo("compat", "--track", "imagenet256-probe", *GIGATOK, "--quantizer", "vq", "--ar", "gpt")
    assert "wants a 32×32 grid, not a sequence of 16" in done.stdout
    assert "taken to be 10" in done.stderr


def test_mistakes(tokzoo):
    assert "ar 'gtp': none has such a name; did you mean 'gpt'?" in tokzoo("compat", "--ar", "gtp", code=2).stderr
    assert "did you mean 'fashion-nano" in tokzoo("compat", "--track", "fashion-nan", code=2).stderr


def test_without_any_plugin_there_is_nothing_to_combine(tokzoo):
    text = tokzoo("compat", env={"TOKZOO_PLUGINS": ""}).stdout
    assert text.splitlines()[-1] == "0 of 0 combinations fit"
