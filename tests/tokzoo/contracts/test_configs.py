import pytest
from pydantic import ValidationError

import tokzoo
from tokzoo.contracts.configs import KINDS, RegularizerConfig

Teacher = tokzoo.ComponentRef["teacher"]


class Term(RegularizerConfig):
    pass


class Aligned(RegularizerConfig):
    teacher: Teacher


class FakeSlot:
    use, config = "dino", None

    def dump(self, places=True):
        return {"use": "dino", "size": 2}


@pytest.mark.parametrize("gate", [0, 0.0, 20000, 0.999])
def test_gates_are_steps_or_fractions(gate):
    term = Term(start=gate, stop=gate)
    assert term.start == gate
    assert type(term.start) is type(gate)


@pytest.mark.parametrize("field", ["start", "stop"])
@pytest.mark.parametrize("gate", [1.0, 20000.0, -1, -0.5])
def test_a_fraction_beyond_the_budget_is_refused(field, gate):
    with pytest.raises(ValidationError, match=field):
        Term(**{field: gate})


def test_configs_are_frozen_and_closed():
    term = Term()
    with pytest.raises(ValidationError, match="frozen"):
        term.weight = 2.0
    with pytest.raises(ValidationError, match="Extra inputs"):
        Term(wieght=2.0)


def test_the_weight_of_a_regularizer_is_that_of_all_its_terms():
    assert Term(weight=0.25).weight_of("anything") == 0.25


def test_a_reference_takes_a_slot_and_dumps_it():
    slot = FakeSlot()
    config = Aligned(teacher=slot)
    assert config.teacher is slot
    assert config.model_dump(mode="json")["teacher"] == {"use": "dino", "size": 2}


def test_a_reference_by_name_needs_a_catalogue():
    with pytest.raises(ValidationError, match="a reference to a teacher needs a catalogue"):
        Aligned(teacher={"use": "dino"})


def test_a_reference_to_an_unknown_kind_is_refused_at_once():
    with pytest.raises(TypeError, match=r"ComponentRef\['teecher'\].*teacher"):
        tokzoo.ComponentRef["teecher"]


def test_every_kind_has_a_config_and_an_interface():
    from tokzoo.contracts.interfaces import INTERFACES

    assert KINDS.keys() == INTERFACES.keys()
