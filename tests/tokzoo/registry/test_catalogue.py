import pytest

import tokzoo
from tokzoo.contracts.errors import TokzooError
from tokzoo.registry.catalogue import Catalogue, Entry


@pytest.fixture
def catalogue():
    made = Catalogue()
    for kind, name in [("regularizer", "l2"), ("quantizer", "vq"), ("quantizer", "someone/fsq"), ("encoder", "cnn")]:
        spec = tokzoo.ComponentSpec(kind, name, tokzoo.ComponentConfig, "a:b", "a summary")
        made.add(Entry(spec, "test"))
    return made


def test_entries_are_found_by_kind_and_name(catalogue):
    assert catalogue.get("quantizer", "vq").spec.name == "vq"
    assert [entry.spec.name for entry in catalogue.of_kind("quantizer")] == ["someone/fsq", "vq"]
    assert [entry.spec.kind for entry in catalogue] == ["encoder", "quantizer", "quantizer", "regularizer"]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("quantizer", "vqq", "quantizer 'vqq': unknown; did you mean 'vq'?"),
        ("quantizer", "fsq", "did you mean 'someone/fsq'?"),
        ("encoder", "vq", "'vq' is a component of kind quantizer"),
        ("decoder", "zebra", "decoder 'zebra': unknown; none is known"),
        ("quantiser", "vq", "kind 'quantiser': unknown; did you mean 'quantizer'?"),
    ],
)
def test_a_name_that_is_not_there_gets_the_nearest(catalogue, kind, name, said):
    with pytest.raises(TokzooError) as error:
        catalogue.get(kind, name)
    assert said in str(error.value)
