"""The recovery on the sensitivity page: just cut and mended sweeps of the demo, told apart and compared."""

import pytest

from pages.sensitivity import beside, frames, sections
from pages.ui import state
from pruning_core.measuring.measures import Cell
from pruning_core.methods.recoveries import RECOVERIES, JustCut, Mending
from pruning_core.runs.events import Stage
from pruning_core.runs.view import State
from pruning_core.studies.sensitivity import SWEPT, SensitivityRun
from pruning_core.zoo import DEMOS
from tests.app.page_under_test import opened, text_of
from tests.app.test_sensitivity_page import CELL, small

MENDED = SensitivityRun(DEMOS[0].ref, DEMOS[0].data, recovery=Mending())


@pytest.fixture
def page(monkeypatch):
    return opened("sensitivity", monkeypatch)


def swept(page, recovery):
    page.button_group(key="sensitivity.recovery").set_value(recovery.card.key).run()
    page.button(key="sensitivity.start").click().run()
    ended = state.jobs().wait(page.session_state["sensitivity.run"], 120)
    assert ended.state is State.DONE, ended.error
    return page.run()


def test_what_a_sweep_can_do_after_a_cut_is_offered_and_today_it_just_cuts(page):
    offered = page.button_group(key="sensitivity.recovery")
    assert list(offered.options) == [each.card.name for each in RECOVERIES if each in SWEPT]
    assert offered.value == JustCut.card.key
    assert "refitted by least squares" not in text_of(page)


def test_a_mended_sweep_says_so_and_on_how_many_images_it_was_fitted(page):
    small(page)
    page.button_group(key="sensitivity.recovery").set_value(Mending.card.key).run()
    assert "in the unpruned network on 128 images of the training part" in text_of(page)
    shown = text_of(swept(page, Mending))
    assert "**Mended**: the channels are gone" in shown and "**Just cut**: the channels" not in shown
    assert "least squares on 128 images of the training part (at most 64 positions each)" in shown
    page.session_state["sensitivity.cell"] = CELL
    assert f"Start the same sweep as **{beside.CUT}**" in text_of(page.run())


def test_both_ways_stand_beside_each_other_in_a_cell(page):
    small(page)
    swept(page, JustCut)
    swept(page, Mending)
    page.session_state["sensitivity.cell"] = CELL
    shown = text_of(page.run())
    assert not page.exception
    labels = page.selectbox(key="sensitivity.run").options
    assert ["mended on 128 images" in label for label in labels] == [True, False]
    plain, mended = (
        next(frames.newest(state.jobs().snapshot(view.id))[CELL] for view in views if view.title)
        for views in _both(page)
    )
    assert mended.mended and not plain.mended and mended.top1 > plain.top1
    assert f"**Just cut**, the same channels leave {100 * plain.top1:.1f}" in shown
    assert f"Mending brings +{100 * (mended.top1 - plain.top1):.1f}" in shown
    page.selectbox(key="sensitivity.run").set_value(page.selectbox(key="sensitivity.run").options[1])
    page.session_state["sensitivity.cell"] = CELL
    shown = text_of(page.run())
    assert f"**Mended**, the same channels leave {100 * mended.top1:.1f}" in shown
    assert f"Mending brings +{100 * (mended.top1 - plain.top1):.1f}" in shown


def _both(page):
    ids = [view for view in state.jobs().of(page.session_state["owner"]) if view.kind == SensitivityRun.kind]
    mended = [view for view in ids if isinstance(state.jobs().spec(view.id).recovery, Mending)]
    return [view for view in ids if view not in mended], mended


def cell(group, removed=3, mended=False):
    return Cell(group, 0.5, removed, 0.9, None, 64, 0.8, 1.0, 0.05, -0.01, 0.1, 2, 1, False, 0.1, mended=mended)


def test_a_group_that_could_not_be_mended_is_marked():
    cells = [cell("a", mended=True), cell("b"), cell("c", removed=0)]
    assert beside.only_cut(MENDED, cells) == {"b"}
    assert beside.only_cut(SensitivityRun(MENDED.model, MENDED.data), cells) == frozenset()
    assert frames.short(["a", "b"], cut={"b"}) == {"a": "a", "b": "b (just cut)"}
    assert "none of the layers" in beside.sentence(MENDED, cells[1], None)


def test_what_is_left_out_or_not_mended_stands_below_the_heatmap(monkeypatch):
    said = []
    monkeypatch.setattr(sections.st, "caption", said.append)

    class View:
        def all(self, kind):
            texts = "measuring", "a is left out: x", "b is just cut, not mended: y", "c is mended in part: z"
            return [Stage(text) for text in texts]

    sections._left_out(View())
    assert len(said) == 3 and not any("measuring" in text for text in said)
