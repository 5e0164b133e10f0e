"""Each trick that foreign checkpoints need: read as it must be, and written back bit for bit."""

import pytest
import torch

from tokzoo.assembly.mapping import check_mapping, gather, scatter
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.formats import WEIGHTS, Ignored, Kept

WIDTH, HEADS, PAIRS = 8, 2, 2


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def kept(key, shape, **how):
    return Kept(WEIGHTS, key, shape, **how)


def packed(rows, **how):
    return kept("qkv", (3 * WIDTH, WIDTH), rows=rows, **how)


def q_of(foreign, part=0):
    return foreign["qkv"][part * WIDTH : (part + 1) * WIDTH]


HALVES = {"view": (3, HEADS, 2, PAIRS, WIDTH), "axes": (0, 1, 3, 2, 4)}
TRICKS = {
    "as it is, in another shape": (
        {"positions": (kept("pos", (4, 1, WIDTH)),)},
        {"pos": (4, 1, WIDTH)},
        lambda f: {"positions": f["pos"].reshape(4, WIDTH)},
    ),
    "packed to split": (
        {name: (packed(range(i * WIDTH, (i + 1) * WIDTH)),) for i, name in enumerate("qkv")},
        {"qkv": (3 * WIDTH, WIDTH)},
        lambda f: {name: q_of(f, i) for i, name in enumerate("qkv")},
    ),
    "split to packed": (
        {"qkv": tuple(kept(name, (WIDTH, WIDTH)) for name in "qkv")},
        dict.fromkeys("qkv", (WIDTH, WIDTH)),
        lambda f: {"qkv": torch.cat([f["q"], f["k"], f["v"]])},
    ),
    "packed head by head": (
        {"qkv": (kept("qkv", (3 * WIDTH, WIDTH), view=(HEADS, 3, WIDTH // HEADS, WIDTH), axes=(1, 0, 2, 3)),)},
        {"qkv": (3 * WIDTH, WIDTH)},
        lambda f: {
            "qkv": torch.cat([f["qkv"].view(HEADS, 3, WIDTH // HEADS, WIDTH)[:, i].flatten(0, 1) for i in range(3)])
        },
    ),
    "rotary halves to pairs, within packed rows": (
        {"qkv": (packed(range(2), **HALVES), packed(range(2, 3), view=(3, WIDTH, WIDTH)))},
        {"qkv": (3 * WIDTH, WIDTH)},
        lambda f: {
            "qkv": torch.cat(
                [torch.stack(h.chunk(2), dim=1).flatten(0, 1) for h in f["qkv"][: 2 * WIDTH].split(2 * PAIRS)]
                + [f["qkv"][2 * WIDTH :]]
            )
        },
    ),
    "transposed": (
        {"weight": (kept("kernel", (4, WIDTH), axes=(1, 0)),)},
        {"kernel": (4, WIDTH)},
        lambda f: {"weight": f["kernel"].T},
    ),
    "a kernel of height, width, in, out": (
        {"weight": (kept("kernel", (3, 3, 2, 4), axes=(3, 2, 0, 1)),)},
        {"kernel": (3, 3, 2, 4)},
        lambda f: {"weight": f["kernel"].permute(3, 2, 0, 1)},
    ),
    "a linear map of patches, channels last": (
        {"weight": (kept("w", (WIDTH, 12), view=(WIDTH, 2, 2, 3), axes=(0, 3, 1, 2)),)},
        {"w": (WIDTH, 12)},
        lambda f: {"weight": f["w"].view(WIDTH, 2, 2, 3).permute(0, 3, 1, 2)},
    ),
    "rows and columns in the opposite order": (
        {
            "rows": (kept("rows", (4, 3), rows=range(3, -1, -1)),),
            "columns": (kept("columns", (4, 3, 3, 3), rows=range(2, -1, -1), axis=1),),
        },
        {"rows": (4, 3), "columns": (4, 3, 3, 3)},
        lambda f: {"rows": f["rows"].flip(0), "columns": f["columns"].flip(1)},
    ),
    "any order of rows, and some elsewhere": (
        {"most": (kept("r", (4, 3), rows=(2, 0, 3)),), "start": (kept("r", (4, 3), rows=(1,)),)},
        {"r": (4, 3)},
        lambda f: {"most": f["r"][[2, 0, 3]], "start": f["r"][1]},
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_there_and_back(trick):
    kepts, shapes, meant = TRICKS[trick]
    foreign = {key: numbers(*shape) for key, shape in shapes.items()}
    expected = meant(foreign)
    check_mapping(kepts, {name: tuple(tensor.shape) for name, tensor in expected.items()})
    ours = {
        name: gather(places, tuple(expected[name].shape), lambda place: foreign[place.key])
        for name, places in kepts.items()
    }
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())
    back = scatter(kepts, ours)
    assert back.keys() == {(WEIGHTS, key) for key in foreign}
    assert all(torch.equal(back[WEIGHTS, key], tensor) for key, tensor in foreign.items())


@pytest.mark.parametrize(
    ("kepts", "said"),
    [
        ({"q": (packed(range(8)),)}, "qkv is not read as a whole"),
        ({"q": (packed(range(16)),), "k": (packed(range(8, 24)),)}, "qkv is not read as a whole"),
        ({"q": (kept("w", (2, 4)),), "k": (kept("w", (4, 2)),)}, r"w has several shapes: \(2, 4\), \(4, 2\)"),
        ({"q": (kept("w", (2, 2)),)}, "q has 8 numbers, and is kept in 4"),
    ],
)
def test_a_mapping_that_could_not_be_undone_is_refused(kepts, said):
    sizes = {"w": (8,), "qkv": None}
    shapes = {name: sizes[places[0].key] or (sum(place.numbers for place in places),) for name, places in kepts.items()}
    with pytest.raises(TokzooError, match=said):
        check_mapping(kepts, shapes)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"view": (5,)}, "cannot be viewed"),
        ({"axes": (0, 0)}, "no permutation"),
        ({"rows": range(5)}, "not among the 4"),
        ({"rows": (1, 1)}, "each once"),
        ({"rows": (0,), "axis": 2}, "no axis 2"),
    ],
)
def test_a_part_that_cannot_be_is_refused_where_it_is_written(how, said):
    with pytest.raises(ValueError, match=said):
        kept("w", (4, 3), **how)


def test_ignored_patterns():
    loss = Ignored(WEIGHTS, "loss.*")
    assert loss.matches(WEIGHTS, "loss.discriminator.main.0.weight")
    assert not loss.matches(WEIGHTS, "encoder.loss.weight")
    assert not loss.matches("ema", "loss.logvar")
    with pytest.raises(ValueError, match="this is a pattern"):
        Ignored(WEIGHTS, "loss.*", zeros=())
