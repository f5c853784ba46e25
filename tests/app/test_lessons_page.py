"""The lessons: every step measures what its sentence tells, and the page asks before it answers."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from pages.lessons import layers, lessons, redundancy, speed, training, training_runs, walking
from pages.lessons.lessons import LESSONS
from pages.lessons.training_runs import Trained
from pages.ui import numbers
from pages.ui.charts import alt_text
from pages.ui.demo import Demo, Shown
from pruning_core.criteria import L1Norm
from pruning_core.graph import Plan
from pruning_core.measuring.intervals import wilson
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.scratch import ScratchB
from pruning_core.methods.units import uniform_counts

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


def test_the_first_fifth_and_last_lesson_cut_alike_and_say_so(demo):
    told = [
        redundancy.all_layers(demo).values["left"],
        speed.many(demo).values["macs"],
        training.just_cut(demo).values["left"],
    ]
    assert told == [numbers.percent(demo.left(demo.half()), 0)] * 3
    run = training_runs._run(demo, CutAndTrain(), 0)
    assert dict(uniform_counts(demo.network, run.budget)) == {g.key: g.size // 2 for g in demo.groups}


def _ended(top1: float, *, images: int = 450) -> Accuracy:
    low, high = wilson(round(top1 * images), images)
    return Accuracy(top1, None, 0.1, images, low, high, images, "digits (test)", 0.1)


def _trained(*top1: float) -> Trained:
    return Trained(_ended(0.1), tuple(map(_ended, top1)))


@pytest.mark.parametrize(
    ("scratch", "chance", "lead", "criterion"),
    [
        (0.971, 0.966, training.LEVEL, training.UNTOLD),
        (0.80, 0.70, training.AHEAD, training.TOLD),
        (0.999, 0.966, training.BEHIND, training.UNTOLD),
    ],
)
def test_the_last_lesson_answers_by_what_was_measured(demo, monkeypatch, scratch, chance, lead, criterion):
    ends = {training.CHANCE: _trained(chance, chance), ScratchB.card.name: _trained(scratch, scratch)}
    monkeypatch.setattr(
        training_runs, "of", lambda demo, ways: {name: ends.get(name, _trained(0.966, 0.968)) for name in ways}
    )
    shown = training.at_length(demo)
    assert shown.values["lead"] == lead and shown.values["criterion"] == criterion
    text = training.LESSON.steps[-1].found.format(**shown.values)
    assert f"the best criterion {criterion}" in text and f"the pruned one {lead}" in text
    for step in training.LESSON.steps[1:]:
        asked = {name for _, name, _, _ in string.Formatter().parse(step.found) if name}
        assert asked <= set(step.measure(demo).values)


def test_a_mean_of_trainings_has_the_interval_of_the_images_they_share():
    found = _trained(0.96, 0.97, 0.98).mean
    assert found.top1 == pytest.approx(0.97) and found.images == 450
    assert (found.low, found.high) == wilson(round(found.top1 * 450), 450)


def test_what_is_too_noisy_is_not_told(monkeypatch):
    monkeypatch.chdir(ROOT)
    noisy = Shown(go.Figure(), {}, (), "Too noisy to tell.")
    first = replace(LESSONS[1].steps[0], measure=lambda demo: noisy)
    monkeypatch.setattr(lessons, "LESSONS", (replace(LESSONS[1], steps=(first, *LESSONS[1].steps[1:])),))
    page = AppTest.from_file(str(ROOT / "pages" / "lessons" / "page.py"), default_timeout=120)
    page.session_state[walking.LESSON] = "norms"
    page.session_state["lessons.norms.0.asked"] = True
    page.run()
    assert not page.exception and [each.value for each in page.warning] == ["Too noisy to tell."]
    assert not any("**Measured:**" in text.value for text in page.markdown)
    assert any(each.label == "Measure again" for each in page.button)


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
    page.session_state["lessons.norms.step"] = len(LESSONS[1].steps)
    page.run()
    assert any(first in text.value and "The spread is smallest in" in text.value for text in page.markdown), "measured"
    page.session_state["lessons.norms.step"] = 1
    page.run()
    page.button(key="lessons.norms.1.asked.back").click().run()
    assert page.subheader[0].value == first
