"""The choice of what becomes of coupled channels, on every page that makes a plan."""

import pytest

from pages.ui import links, state
from pages.ui.desk import first_desk
from pruning_core.allocation.shortcuts import Coupled, InsideBlocks, Projected
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.studies.method import MethodRun
from pruning_core.studies.search import SearchRun
from tests.app.page_under_test import opened, text_of

INSIDE = InsideBlocks.card.key


@pytest.fixture(autouse=True)
def ways(monkeypatch):
    for way in ("to_fine_tune", "to_download", "to_what_if"):  # a page by itself knows no way to the others
        monkeypatch.setattr(links, way, lambda *_: None, raising=False)


def network():
    return state.network(state.desk().model)


def coupled():
    return {group.key for group in network().groups if group.coupled}


def started(page, monkeypatch):
    """The spec that the page's button would start."""
    specs = []
    monkeypatch.setattr("pages.ui.started.submit", lambda spec, *_: specs.append(spec))
    return specs


def test_a_plan_of_what_if_leaves_coupled_groups_whole_and_its_recipe_says_so(monkeypatch):
    page = opened("whatif", monkeypatch)
    page.slider(key="whatif.budget.share.macs").set_value(60).run()
    page.button(key="whatif.preset.use").click().run()
    assert coupled() & set(page.session_state["desk"].plan)
    page.button_group(key="whatif.shortcuts").set_value(INSIDE).run()
    assert f"{len(coupled())} of {len(network().groups)} groups keep all channels" in text_of(page)
    page.button(key="whatif.preset.use").click().run()
    desk = page.session_state["desk"]
    assert desk.plan and not coupled() & set(desk.plan) and "InsideBlocks" in desk.made_by(desk.model, desk.plan)
    assert network().cost(desk.plan).macs <= 0.6 * network().cost().macs
    page.slider(key="whatif.budget.share.macs").set_value(5).run()
    assert "this cannot be reached" in page.warning[0].value


def test_a_method_is_started_with_the_choice_and_one_of_weights_is_not_asked(monkeypatch):
    page = opened("methods", monkeypatch)
    specs = started(page, monkeypatch)
    page.button_group(key="methods.shortcuts").set_value(INSIDE).run()
    page.button(key="methods.start").click().run()
    page.selectbox(key="methods.method").set_value("mag").run()
    assert not [each for each in page.button_group if each.key == "methods.shortcuts"]
    page.button(key="methods.start").click().run()
    assert all(isinstance(spec, MethodRun) for spec in specs)
    assert [spec.shortcuts for spec in specs] == [InsideBlocks(), Coupled()]


def test_a_search_walks_inside_blocks_alone(monkeypatch):
    page = opened("search", monkeypatch)
    specs = started(page, monkeypatch)
    page.button_group(key="search.shortcuts").set_value(INSIDE).run()
    page.button(key="search.start").click().run()
    (spec,) = specs
    assert isinstance(spec, SearchRun) and spec.limits.shortcuts == InsideBlocks()


def test_steps_reach_the_widths_inside_blocks_and_say_when_none_is_there(monkeypatch):
    first = first_desk()
    inside = next(group.key for group in network().groups if not group.coupled)
    both = Plan({inside: (0, 1), min(coupled()): (0,)})
    page = opened("finetune", monkeypatch, desk=first.with_plan(both), **{"finetune.way": "Prune in steps"})
    assert "2 groups lose channels" in text_of(page)
    page.button_group(key="gradual.shortcuts").set_value(INSIDE).run()
    assert "1 group loses channels" in text_of(page)
    page = opened("finetune", monkeypatch, desk=first.with_plan(both.with_group(inside, ())), **{
        "finetune.way": "Prune in steps", "gradual.shortcuts": INSIDE,
    })  # fmt: skip
    assert "coupled channels only" in page.warning[0].value
    assert not [each for each in page.button if each.key == "gradual.start"]


def test_projections_are_inserted_and_then_ends_of_branches_are_cut_alone(monkeypatch):
    page = opened("whatif", monkeypatch)
    page.button_group(key="whatif.shortcuts").set_value(Projected.card.key).run()
    assert "Until projections are inserted" in text_of(page)
    before = network()
    page.button(key="whatif.shortcuts.insert").click().run()
    assert not page.exception and not page.error and not page.warning
    desk = page.session_state["desk"]
    now = state.network(desk.model)
    assert desk.model.source == "rebuilt" and desk.model.base == first_desk().model
    assert now.cost().macs > before.cost().macs and "Until projections" not in text_of(page)
    page.button(key="whatif.preset.use").click().run()
    plan = page.session_state["desk"].plan
    assert "layer1.0.conv2" in plan and not {g.key for g in now.groups if g.coupled} & set(plan)
    assert "Projected" in page.session_state["desk"].made_by(desk.model, plan)


def test_where_no_projection_can_be_inserted_it_says_why(monkeypatch):
    monkeypatch.setattr("pages.ui.shortcuts.projections", lambda *_: (_ for _ in ()).throw(UserError("no branch here")))
    page = opened("search", monkeypatch)
    page.button_group(key="search.shortcuts").set_value(Projected.card.key).run()
    page.button(key="search.shortcuts.insert").click().run()
    assert "no branch here" in [each.value for each in page.warning]
    specs = started(page, monkeypatch)
    page.button(key="search.start").click().run()
    assert specs[0].limits.shortcuts == InsideBlocks(), "what has no projections is not called so"
