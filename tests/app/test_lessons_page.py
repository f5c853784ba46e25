"""The lessons: every step measures what its sentence tells, and the page asks before it answers."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.lessons import layers, redundancy, training, walking
from pages.lessons.lessons import LESSONS
from pages.ui import numbers
from pages.ui.charts import alt_text
from pages.ui.demo import Demo
from pruning_core.criteria import L1Norm
from pruning_core.graph import Plan

ROOT = Path(__file__).parents[2]
AT_ONCE = [
    (lesson, n) for lesson in LESSONS for n, _ in enumerate(lesson.steps) if lesson is not training.LESSON or n == 0
]


@pytest.fixture(scope="module")
def demo():
    return Demo.first()


def test_six_lessons_of_three_to_five_steps_that_ask():
    assert len({lesson.key for lesson in LESSONS}) == len(LESSONS) == 6
    assert all(3 <= len(lesson.steps) <= 5 for lesson in LESSONS)
    assert all(step.question.endswith("?") for lesson in LESSONS for step in lesson.steps)


@pytest.mark.parametrize(("lesson", "number"), AT_ONCE, ids=lambda each: getattr(each, "key", each))
def test_a_step_measures_what_its_sentence_tells(lesson, number, demo):
    step = lesson.steps[number]
    shown = step.measure(demo)
    asked = {name for _, name, _, _ in string.Formatter().parse(step.found) if name}
    assert asked and asked <= set(shown.values)
    assert shown.sources and alt_text(shown.figure) and all(shown.values[name] for name in asked)


def test_what_is_told_is_what_was_measured(demo):
    ranks = demo.ranks(L1Norm())
    lost = {g.key: demo.measured(demo.cut(ranks, 0.5, (g.key,))).drop.drop for g in demo.groups}
    told = layers.half(demo).values
    assert told["worst"] == max(lost, key=lost.get) and told["least"] == numbers.points(-min(lost.values()))
    halves = redundancy.stand_in(demo).values
    assert halves["replaceable"] != halves["distinct"]
    plan = demo.cut(ranks, 0.5)
    assert all(len(plan[g.key]) == g.size // 2 for g in demo.groups)
    assert demo.desk.plan == Plan()


def test_the_question_comes_first_then_the_answer_then_the_next(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = AppTest.from_file(str(ROOT / "pages" / "lessons" / "page.py"), default_timeout=120)
    page.session_state[walking.LESSON] = "norms"
    page.run()
    first, second = (step.question for step in LESSONS[1].steps[:2])
    assert page.subheader[0].value == first
    assert not any("Measured" in text.value for text in page.markdown)
    page.button(key="lessons.norms.0.asked.button").click().run()
    assert not page.exception and not page.error
    assert any("**Measured:**" in text.value and "{" not in text.value for text in page.markdown)
    page.button(key="lessons.norms.0.asked.next").click().run()
    assert page.subheader[0].value == second
    page.button(key="lessons.norms.1.asked.back").click().run()
    assert page.subheader[0].value == first
