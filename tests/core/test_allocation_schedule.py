"""Schedules against the sheet's numbers and their own laws."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.allocation.schedule import (
    SCHEDULES,
    Agp,
    Cubic,
    Geometric,
    Linear,
    LittleByLittle,
    OneShot,
)


def course(schedule, steps, target, depth=0.5):
    return [schedule.ratio(t, steps, target, depth) for t in range(steps + 1)]


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (OneShot(), 3, [0, 0.8, 0.8, 0.8]),
        (Linear(), 4, [0, 0.2, 0.4, 0.6, 0.8]),
        (Agp(), 4, [0, 0.4625, 0.7, 0.7875, 0.8]),
        (Cubic(), 4, [0, 0.0125, 0.1, 0.3375, 0.8]),
        (Geometric(), 3, [0, 0.4152, 1 - 0.5848**2, 0.8]),
    ],
)
def test_the_sheets_numbers(schedule, steps, expected):
    assert course(schedule, steps, 0.8) == pytest.approx(expected, abs=1e-4)


def test_a_geometric_step_takes_the_same_share_of_what_remains():
    reached = course(Geometric(), 3, 0.8)
    shares = [(b - a) / (1 - a) for a, b in pairwise(reached)]
    assert shares == pytest.approx([0.4152] * 3, abs=1e-4)


def test_gradual_pruning_can_start_late_and_from_something():
    schedule = Agp(start=0.2, begin=0.5)
    assert course(schedule, 4, 0.8) == pytest.approx([0.2, 0.2, 0.2, 0.8 - 0.6 / 8, 0.8])


def test_ten_per_cent_of_what_remains_is_not_ten_per_cent_of_the_original():
    for of, left in (("remaining", 0.9**5), ("original", 0.5)):
        schedule = LittleByLittle(shallow=0.1, deep=0.1, of=of)
        assert 1 - schedule.ratio(5, 20, 0.9) == pytest.approx(left)


def test_little_by_little_takes_more_from_deeper_layers_and_as_many_steps_as_it_needs():
    schedule = LittleByLittle()
    first, middle, last = (schedule.ratio(2, 20, 0.8, depth) for depth in (0.0, 0.5, 1.0))
    assert first == pytest.approx(1 - 0.95**2)
    assert first < middle < last == pytest.approx(1 - 0.9**2)
    assert schedule.steps(0.5) == 14  # 0.95^13 = .513, 0.95^14 = .488
    assert schedule.steps(0.0) == 1
    assert Linear().steps(0.5) is None


@pytest.mark.parametrize("cls", SCHEDULES)
@given(steps=st.integers(1, 30), target=st.floats(0, 0.99), depth=st.floats(0, 1))
def test_every_schedule_grows_from_nothing_to_its_target(cls, steps, target, depth):
    reached = course(cls(), steps, target, depth)
    assert reached[0] == 0
    assert reached[-1] == pytest.approx(target)
    assert all(a <= b + 1e-12 for a, b in pairwise(reached))
    assert all(0 <= ratio < 1 for ratio in reached)


def test_steps_and_targets_out_of_range_are_bugs():
    with pytest.raises(ValueError, match="step 5"):
        Linear().ratio(5, 4, 0.5)
    with pytest.raises(ValueError, match="target"):
        Linear().ratio(1, 4, 1.0)


def test_every_schedule_says_what_it_is():
    assert len({cls.card.key for cls in SCHEDULES}) == len(SCHEDULES)
    for cls in SCHEDULES:
        assert cls.__doc__
        assert all((cls.card.name, cls.card.idea, cls.card.formula, cls.card.cost, cls.card.fails))
