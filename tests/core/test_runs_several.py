"""Time left of trainings one after the other: the present pace, for all of them, to the last step of each."""

import pytest

from pruning_core.studies.several import Together
from pruning_core.training.events import Step


def step(done: float, seconds_left: float) -> Step:
    return Step(1, done, done, 0.5, 0.1, 100.0, seconds_left)


def test_the_time_left_is_that_of_all_trainings():
    together = Together(1.0 + 3.0)  # the second is three times as long
    first = together.placed(step(0.5, 10.0), 0.0, 1.0)
    assert first.done == pytest.approx(0.125) and first.seconds_left == pytest.approx(10.0 + 60.0)
    last = together.placed(step(1.0, 0.0), 0.0, 1.0)
    assert last.done == pytest.approx(0.25) and last.seconds_left == pytest.approx(60.0), "the second one is to come"
    second = together.placed(step(0.5, 24.0), 1.0, 3.0)
    assert second.done == pytest.approx(0.625) and second.seconds_left == pytest.approx(24.0)
    assert together.placed(step(1.0, 0.0), 1.0, 3.0).seconds_left == 0.0


def test_one_training_alone_is_as_it_says():
    alone = Together(1.0)
    for each in (step(0.0, 8.0), step(0.25, 6.0), step(1.0, 0.0)):
        placed = alone.placed(each, 0.0, 1.0)
        assert (placed.done, placed.seconds_left) == pytest.approx((each.done, each.seconds_left))
