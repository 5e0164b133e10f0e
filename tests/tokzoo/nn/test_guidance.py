import math

import pytest
from pydantic import TypeAdapter, ValidationError

from tokzoo.nn.guidance import AnySchedule

SCHEDULES = TypeAdapter(AnySchedule)


def scales(schedule, full=3.0, codes=5):
    return SCHEDULES.validate_python(schedule).scales(full, codes)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"use": "constant"}, [3, 3, 3, 3, 3]),
        ({"use": "linear"}, [3, 1.5001, 2.0001, 2.5001, 3.0001]),
        ({"use": "linear-reverse"}, [3, 2.5001, 2.0001, 1.5001, 1.0001]),
        ({"use": "triangular"}, [3, 2.0001, 3.0001, 2.0001, 1.0001]),
        ({"use": "triangular", "peak": 0.25}, [3, 3.0001, 7 / 3 + 1e-4, 5 / 3 + 1e-4, 1.0001]),
        ({"use": "step", "start": 0.5}, [3, 1.0001, 3, 3, 3]),
        ({"use": "window", "start": 0.25, "stop": 0.5}, [3, 3, 3, 1.0001, 1.0001]),
        ({"use": "interval", "codes": 2}, [3, 3, 1, 1, 1]),
        ({"use": "cosine"}, [3, 2 - math.sqrt(0.5), 2, 2 + math.sqrt(0.5), 3]),
    ],
)
def test_scales(schedule, expected):
    assert scales(schedule) == pytest.approx(expected, abs=1e-12)


def test_defaults_of_the_released_sampler():
    # Of 256 codes the first after the prefilled one to be guided is number 46: 46 / 255 is the first ratio ≥ 0.18.
    stepped = scales({"use": "step"}, 1.75, 256)
    assert stepped[:1] + stepped[46:] == [1.75] * 211
    assert stepped[1:46] == [1.0001] * 45
    assert scales({"use": "window"}, 1.75, 256)[1:14] == [1.0001] * 12 + [1.75]


@pytest.mark.parametrize("use", ["constant", "linear", "linear-reverse", "triangular", "cosine", "step", "window"])
def test_a_single_code_is_guided_in_full(use):
    assert scales({"use": use}, 4.0, 1) == [4.0]


def test_interval_without_guidance_is_exactly_one():
    assert scales({"use": "interval", "codes": 1})[1:] == [1.0] * 4


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"use": "sigmoid"}, "'constant', 'linear'"),
        ({"use": "step", "begin": 0.1}, "begin"),
        ({"use": "step", "start": 1.5}, "less than or equal to 1"),
        ({"use": "triangular", "peak": 1}, "less than 1"),
        ({"use": "window", "start": 0.9, "stop": 0.1}, "never opens"),
    ],
)
def test_wrong_schedules(schedule, message):
    with pytest.raises(ValidationError, match=message):
        SCHEDULES.validate_python(schedule)
