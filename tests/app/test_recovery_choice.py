"""The recovery is one choice made of the registry: measured beside the plain cut, and part of the runs that follow."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import recovery, standing, state
from pages.whatif import recovered
from pruning_core.datasets import hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.mending import Mended, Mender
from pruning_core.mending.looking import Report
from pruning_core.methods.recoveries import RECOVERIES, JustCut, Mending, NewStatistics, Recovery
from pruning_core.studies.recovering import keeping
from pruning_core.work import finished
from tests.app.page_under_test import metrics, opened, text_of

AFTER = Mending.card.name


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return opened("whatif", monkeypatch)


def number(shown: str) -> float:
    return float(shown.split("\u202f")[0].rstrip("%"))


def test_after_a_move_the_mended_accuracy_stands_beside_the_one_that_was_just_cut(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert AFTER not in metrics(page) and "Nothing is planned yet." in text_of(page)
    page.slider(key="whatif.all").set_value(50).run()
    assert not page.exception
    shown, desk = metrics(page), page.session_state["desk"]
    assert number(shown[AFTER]) > number(shown["Accuracy"]) + 20
    labels = [metric.label for metric in page.metric]
    assert shown["Just cut"] == shown["Accuracy"] and labels.index(AFTER) == labels.index("Just cut") + 1
    loaded, network = state.loaded(desk.model), state.network(desk.model)
    fit, held_out = hold_out(state.splits(desk.data)[0], desk.data)
    images = fit.subset(128)
    by_hand = finished(
        keeping(loaded.model, network, desk.plan, Mending(), images, held_out.subset(min(512, len(held_out))))
    )
    assert shown[AFTER] == f"{100 * by_hand.accuracy.top1:.1f}\u202f%" and by_hand.images == 128

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this plan and recovery were measured before")

    monkeypatch.setattr(recovered, "keeping", refuse)
    page.run()
    assert not page.exception and metrics(page)[AFTER] == shown[AFTER]


def test_layers_that_a_move_leaves_as_they_are_are_not_refitted_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Mended] = []
    mended = Mender._mended

    def watched(by: Mender, plan: Plan, report: Report) -> Mended:
        done.append(mended(by, plan, report))
        return done[-1]

    monkeypatch.setattr(Mender, "_mended", watched)
    page.slider(key="whatif.all").set_value(50).run()
    groups = state.network(page.session_state["desk"].model).groups
    page.slider(key=f"whatif.group.{groups[-1].key}").set_value(20).run()
    assert not page.exception and len(done) == 2
    assert (done[0].forwards, done[1].forwards) == (2, 1)
    assert 0 < done[1].solved < done[0].solved == len(done[0].layers) == len(done[1].layers)


def test_just_cut_measures_nothing_more_and_the_choice_goes_into_the_run_that_applies_the_plan(page: AppTest) -> None:
    offered = page.button_group(key=recovery.KEY).options
    assert list(offered) == [cls.card.name for cls in RECOVERIES if not cls.trains]
    page.button_group(key=recovery.KEY).set_value(JustCut.card.key).run()
    page.slider(key="whatif.all").set_value(30).run()
    assert not page.exception and AFTER not in metrics(page)
    assert "that of the network as cut" in text_of(page)
    assert page.session_state[recovery.NOW] == JustCut()
    page.button_group(key=recovery.KEY).set_value(NewStatistics.card.key).run()
    assert not page.exception and NewStatistics.card.name in metrics(page)
    page.button(key="whatif.apply").click().run()
    (job,) = [view for view in state.jobs().of(page.session_state["owner"]) if view.kind == "prune"]
    spec = state.jobs().spec(job.id)
    assert spec.recovery == NewStatistics() and spec.data.split == "test"  # type: ignore[union-attr]
    state.jobs().cancel(job.id)
    assert standing.application(page.session_state["desk"]).recovery == Mending(), "elsewhere than in this session"


@pytest.mark.parametrize("cls", [cls for cls in RECOVERIES if cls.trains], ids=lambda cls: cls.card.key)
def test_a_training_is_no_part_of_a_measurement(cls: type[Recovery]) -> None:
    desk = state.desk()
    model, network = state.loaded(desk.model).model, state.network(desk.model)
    plan, images = Plan({network.groups[0].key: (0,)}), state.splits(desk.data)[0].subset(8)
    with pytest.raises(UserError, match="belongs to Fine-tune"):
        finished(keeping(model, network, plan, cls(), images, images, device="cpu"))
