"""The sliders of What-if and the overview above them: what is shown, what a browser says, what is taken as a move."""

import json

import pytest
from streamlit.runtime.scriptrunner import RerunData, RerunException

from pages.ui import history
from pages.whatif import agreed, charts, frames, groups, plans
from pruning_core.graph import Role
from pruning_core.measuring.measures import Cell
from tests.app.page_under_test import opened
from tests.app.test_whatif_page import desk, network, page, scores  # noqa: F401 (page is a fixture)


def overview_of(drawn) -> dict:
    (figure,) = [json.loads(each.proto.spec) for each in drawn.get("plotly_chart") if "Overview of" in each.proto.spec]
    return figure


def test_of_many_groups_one_is_chosen_in_an_overview_of_all_and_moved(monkeypatch):
    monkeypatch.setattr(groups, "FEW", 3)
    page = opened("whatif", monkeypatch)  # noqa: F811
    keys = [group.key for group in network().groups]
    assert not [each for each in page.slider if (each.key or "").startswith("whatif.group.")]
    figure = overview_of(page)
    targets = [each for each in figure["data"] if each["name"] == charts.LAYERS]
    assert len(targets) == 2 and all(len(each["x"]) == len(keys) for each in targets)
    for key in (keys[3], keys[1]):
        page.selectbox(key=groups.CHOSEN).set_value(key).run()
        page.slider(key="whatif.chosen").set_value(50).run()
        group = network().group(key)
        assert len(desk(page).plan[key]) == group.size // 2
        assert page.slider(key="whatif.chosen").label == f"{key}: {group.size - group.size // 2} of {group.size} kept"
    assert set(desk(page).plan) == {keys[3], keys[1]}
    page.selectbox(key=groups.CHOSEN).set_value(keys[0]).run()
    assert page.slider(key="whatif.chosen").value == 0 and set(desk(page).plan) == {keys[3], keys[1]}
    text = overview_of(page)["layout"]["meta"]["alt"]
    assert "2 groups planned" in text and "Most is cut from" in text


def cell(group: str, ratio: float, drop: float) -> Cell:
    return Cell(group, ratio, 1, 0.9, None, 10, 0.8, 1.0, drop, 0.0, 0.2, 1, 1, True, 0.1)


def test_the_overview_counts_what_the_plan_keeps_and_colours_what_a_sweep_has_measured(page):  # noqa: F811
    first = network().groups[0]
    page.slider(key=f"whatif.group.{first.key}").set_value(50).run()
    plan = desk(page).plan
    found = plans.cuts(network(), plan, {})
    cells = [cell(first.key, ratio, drop) for ratio, drop in ((0.3, 0.1), (0.45, 0.2), (0.9, 0.7))]
    frame = frames.overview(network(), plan, found, cells)
    assert list(frame["kept"]) == [first.size // 2, *(group.size for group in network().groups[1:])]
    assert frame["lost"][0] == 0.2 and frame["lost"][1:].isna().all()
    makers = {m.layer for g in network().groups for m in g.members if m.role is Role.PRODUCER}
    for column, rows in (("share_before", network().layer_costs()), ("share_after", network().layer_costs(plan))):
        shown = sum(row.macs for row in rows if row.name in makers) / network().cost().macs
        assert frame[column].sum() == pytest.approx(shown)
    assert frame["share_after"][0] == pytest.approx(frame["share_before"][0] / 2)


def test_what_a_slider_is_called_is_words(page):  # noqa: F811
    called = [slider.label for slider in page.slider]
    assert len(called) > 6 and not [label for label in called if set("`*[]\\") & set(label)]


def test_a_slider_is_written_only_where_the_plan_says_otherwise(page):  # noqa: F811
    """What a page writes goes back to the browser and undoes the keys that were pressed meanwhile."""
    key = f"whatif.group.{network().groups[0].key}"
    page.slider(key=key).set_value(25).run()
    assert not page.slider(key=key).proto.set_value
    page.button(key="whatif.undo").click().run()
    assert page.slider(key=key).proto.set_value and page.slider(key=key).value == 0


def test_what_a_fast_browser_still_says_of_other_sliders_is_no_move(page):  # noqa: F811
    """It has pressed the key again before it has seen what the first press did to the other sliders."""
    keys = [f"whatif.group.{group.key}" for group in network().groups if group.exact]
    page.slider(key="whatif.all").set_value(20).run()
    page.slider(key="whatif.all").set_value(40)
    for key in keys:
        page.slider(key=key).set_value(0)
    page.run()
    assert [page.slider(key=key).value for key in ("whatif.all", *keys)] == [40] * (1 + len(keys))
    for key in keys:  # and once more, where nothing was pressed
        page.slider(key=key).set_value(20)
    page.run()
    assert [page.slider(key=key).value for key in ("whatif.all", *keys)] == [40] * (1 + len(keys))


def test_nor_is_it_where_the_run_of_the_press_ended_before_it_drew_them(page, monkeypatch):  # noqa: F811
    keys = [f"whatif.group.{group.key}" for group in network().groups if group.exact]
    draw = agreed.show

    def ended(*_):
        raise RerunException(RerunData())

    monkeypatch.setattr(agreed, "show", ended)
    with pytest.raises((AssertionError, RuntimeError, RerunException)):
        page.slider(key="whatif.all").set_value(20).run(timeout=1)
    monkeypatch.setattr(agreed, "show", draw)
    page.run()  # the browser said the same once more
    page.slider(key="whatif.all").set_value(40)
    for key in keys:
        page.slider(key=key).set_value(0)
    page.run()
    assert [page.slider(key=key).value for key in ("whatif.all", *keys)] == [40] * (1 + len(keys))


def test_a_slider_can_be_moved_back_to_where_it_was(page):  # noqa: F811
    key = f"whatif.group.{network().groups[0].key}"
    page.slider(key="whatif.all").set_value(50).run()
    page.slider(key=key).set_value(0).run()
    assert network().groups[0].key not in desk(page).plan and len(desk(page).plan) > 1
    page.button(key="whatif.undo").click().run()
    page.slider(key=key).set_value(0).run()
    assert network().groups[0].key not in desk(page).plan


def test_a_move_whose_run_was_ended_in_its_midst_is_taken_by_the_next_one(page, monkeypatch):  # noqa: F811
    """The browser may send a value twice: the second message ends the first run, and changes nothing itself."""
    key = f"whatif.group.{network().groups[0].key}"
    keep = history.change

    def ended(*_, **__):
        raise RerunException(RerunData())

    monkeypatch.setattr(history, "change", ended)
    with pytest.raises((AssertionError, RuntimeError, RerunException)):
        page.slider(key=key).set_value(50).run(timeout=1)
    monkeypatch.setattr(history, "change", keep)
    page.run()
    assert page.slider(key=key).value == 50 and len(desk(page).plan[network().groups[0].key]) == 8
