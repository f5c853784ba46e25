"""The Taxonomy page is made of the registry alone."""

from __future__ import annotations

import graphlib
import itertools
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.taxonomy import charts, drawings, frames, preview, registry, views, words
from pages.ui import engine, numbers, state, theme
from pages.ui.ranking import ranking
from pruning_core import criteria
from pruning_core.allocation.schedule import SCHEDULES
from pruning_core.allocation.search import EXPLORERS
from pruning_core.allocation.shortcuts import SHORTCUTS
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.criteria import CRITERIA, BatchNormScale, L1Norm
from pruning_core.graph import Plan
from pruning_core.methods.recoveries import RECOVERIES
from pruning_core.methods.registry import METHODS
from pruning_core.sparsity.grains import Grain
from pruning_core.taxonomy import Data, Family
from tests.app.fake_criterion import Alphabet

ROOT = Path(__file__).parents[2]


def open_page(timeout: float = 90) -> AppTest:
    """The page by itself, not run yet."""
    return AppTest.from_file(str(ROOT / "pages" / "taxonomy" / "page.py"), default_timeout=timeout)


AXES = ("data", "family")


def test_another_search_opens_what_is_called_so(page):
    page.run()
    for asked, name in (("lottery", "Lottery ticket"), ("gradual", "Gradual (AGP)")):
        page.text_input(key="taxonomy.search").set_value(asked).run()
        assert page.subheader[0].value == name


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    return open_page()


ALL = (*CRITERIA, *ALLOCATIONS, *SHORTCUTS, *EXPLORERS, *SCHEDULES, *RECOVERIES, *METHODS)


@pytest.mark.parametrize("axes", list(itertools.permutations(words.AXES, 2)), ids=":".join)
def test_all_that_runs_has_one_place_whichever_axis_is_inside(axes):
    rows = frames.grouped(frames.table(registry.cards()), axes)
    names = [key for row in rows for group in row.inner for key in group.names]
    assert sorted(names) == sorted(each.card.key for each in ALL)
    assert sum(row.count for row in rows) == len(ALL)
    assert [row.value for row in rows] == [value for value in words.VALUES[axes[0]] if value in {r.value for r in rows}]


def test_at_a_glance_there_are_groups_with_counts_and_the_names_of_the_open_one_alone(page):
    page.run()
    keys = [each.key for each in page.button if each.key.startswith("taxonomy.name.")]
    assert keys == ["taxonomy.name.l1", "taxonomy.name.l2", "taxonomy.name.lp"], "the group of the open card"
    part = f"taxonomy.part.data.family.{Data.UNLABELLED}"
    page.button_group(key=part).set_value(str(Family.ACTIVATION)).run()
    assert not page.exception
    mine = {c.key for c in registry.cards() if (c.data, c.family) == (Data.UNLABELLED, Family.ACTIVATION)}
    assert {each.key.removeprefix("taxonomy.name.") for each in page.button if "taxonomy.name." in each.key} == mine
    assert page.session_state["taxonomy.word"] == ("family", str(Family.ACTIVATION))
    page.button(key="taxonomy.name.apoz").click().run()
    assert page.session_state["taxonomy.card"] == "apoz" and page.session_state["taxonomy.word"] is None
    assert page.button_group(key=part).value == str(Family.ACTIVATION), "its group stays open"


def test_where_few_are_in_view_all_their_names_are(page):
    page.session_state["taxonomy.filter.time"] = ["before training"]
    page.run()
    names = {each.key.removeprefix("taxonomy.name.") for each in page.button if "taxonomy.name." in each.key}
    assert names == {c.key for c in registry.cards() if c.time == "before training"}


def test_every_value_of_every_axis_has_a_meaning_a_drawing_and_is_one_of_the_registrys():
    every = {(axis, value) for axis, values in words.VALUES.items() for value in values}
    assert set(words.DEFINITIONS) == set(drawings.DRAWINGS) == every
    assert all(drawings.of(*each).startswith("<svg") and "NaN" not in drawings.of(*each) for each in every)
    for card in registry.cards():
        assert all((axis, str(getattr(card, axis))) in words.DEFINITIONS for axis in words.AXES)


def test_what_the_survey_names_runs_or_has_a_reason():
    keys = {each.card.key for each in ALL}
    assert {key for names in words.NAMED.values() for key in names.values()} <= keys
    assert set(words.NAMED) == set(range(len(words.SOURCES)))
    assert all(each.reason and each.text < len(words.SOURCES) for each in words.NOT_RUN)


def test_lineage_names_cards_goes_forward_in_time_and_never_in_circles():
    cards = {each.card.key: each.card for each in ALL}
    for card in cards.values():
        assert set(card.builds_on) <= set(cards) - {card.key}, card.key
        for old in card.builds_on:
            if card.paper and cards[old].paper:
                assert cards[old].paper.year <= card.paper.year, (old, card.key)
    graphlib.TopologicalSorter({card.key: card.builds_on for card in cards.values()}).prepare()
    older, newer = frames.relatives(cards.values(), "fpgm")
    assert [each.key for each in older] == ["l1", "sfp"] and not newer
    assert ("l1", "fpgm") in frames.lineage(cards.values(), ["l1", "fpgm"])
    assert not frames.lineage(cards.values(), ["fpgm"])


def test_what_a_class_asks_for_is_found_by_its_word():
    table = frames.table(registry.cards())

    def first(asked, n=1):
        return set(frames.found(table, asked, {})["key"].iloc[:n])

    assert first("rewinding") == {"lth"} and first("N:M") == {"nm"}
    assert first("dynamic", 2) == {c.key for c in registry.cards() if c.execution == "dynamic"}
    assert "fpgm" in first("norm criteria conditions")
    assert first("semi-structured", 4) == {c.key for c in registry.cards() if c.structure == "semi-structured"}


def test_a_search_for_a_word_leads_to_its_meaning(page):
    page.run()
    page.text_input(key="taxonomy.search").set_value("static").run()
    assert not page.exception
    page.button(key="taxonomy.meaning.execution.static").click().run()
    assert any(words.DEFINITIONS["execution", "static"] in text.value for text in page.markdown)


def test_search_and_filters_narrow_what_is_in_view():
    table = frames.table(registry.cards())
    assert set(frames.found(table, "GEOMETRIC median", {})["key"]) >= {"fpgm", "fpgm-soft"}
    few = frames.found(table, "", {"time": ["before training"], "granularity": ["element"]})
    assert set(few["key"]) == {"snip-elements", "grasp-elements", "synflow-elements"}
    assert len(frames.found(table, "", {"time": []})) == len(table)
    assert frames.found(table, "nothing of that name", {}).empty


@pytest.mark.parametrize(
    ("name", "short"),
    [("Kernel representatives (REPrune)", "REPrune"), ("Gate Decorator (tick-tock)", "Gate Decorator"), ("Cubic",) * 2],
)
def test_a_line_of_the_picture_has_the_fields_own_word(name, short):
    assert frames.short(name) == short


def test_the_timeline_shows_every_paper_in_its_year():
    table = frames.table(registry.cards())
    families = list(dict.fromkeys(table["family"]))
    figure = charts.timeline(
        table, families=families, selected="l1", lineage=frames.lineage(registry.cards(), table["key"])
    )
    dots = next(trace for trace in figure.data if trace.name == charts.PAPERS)
    years = dict(zip(dots.customdata, dots.x))
    dated = {each.card.key: each.card.paper.year for each in ALL if each.card.paper}
    assert set(years) == set(dated)
    assert all(abs(years[key] - max(year, charts.FIRST)) < 0.5 for key, year in dated.items()), "in the same year"
    mine = next(trace for trace in figure.data if trace.line.color == theme.CUT and trace.mode == "lines")
    touching = [each.card for each in ALL if "l1" in each.card.builds_on and each.card.paper]
    assert len(mine.x) == 3 * (len(touching) + 1), "those that take it up, and the one it builds on"


def test_the_card_shows_formula_paper_lineage_and_marks(page):
    page.session_state["taxonomy.card"] = "l1"
    page.run()
    assert not page.exception and not page.error
    card = L1Norm.card
    assert page.latex[0].value.strip("$ \n") == card.formula
    assert any(card.paper.title in text.value and card.paper.url in text.value for text in page.markdown)
    assert any(card.fails in text.value for text in page.markdown)
    page.button(key="taxonomy.Builds on.mag").click().run()
    assert page.session_state["taxonomy.card"] == "mag" and not page.exception
    page.session_state["taxonomy.card"], page.session_state["taxonomy.tab"] = "l1", "Published"
    page.run()
    assert list(page.dataframe[0].value["result"]) == [each.result for each in card.published]
    assert any("-badge[published]" in text.value for text in page.markdown)


def test_a_word_opens_beside_with_what_it_is_true_of(page):
    page.session_state["taxonomy.word"] = ("time", "before training")
    page.run()
    assert not page.exception
    assert any(words.DEFINITIONS["time", "before training"] in text.value for text in page.markdown)
    page.button(key="taxonomy.of.snip").click().run()
    assert page.session_state["taxonomy.card"] == "snip" and page.session_state["taxonomy.word"] is None


@pytest.mark.parametrize("view", [views.WORDS, views.COMPARE, "Table", "Years and lineage"])
def test_every_view_draws(page, view):
    page.session_state["taxonomy.view"] = view
    page.run()
    assert not page.exception and not page.error


def test_a_criterion_is_tried_on_the_loaded_network_and_measured(page):
    page.session_state["taxonomy.card"], page.session_state["taxonomy.tab"] = "l1", "Try it here"
    page.run()
    assert not page.exception and not page.error
    network, desk = state.network(state.desk().model), state.desk()
    layer = page.selectbox(key="taxonomy.layer").value
    group = network.group(layer)
    worth = ranking(desk.model, network, L1Norm(), desk.data).values[layer]
    plan = Plan({layer: worth.argsort(stable=True)[: group.size // 2].tolist()})
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["MACs"] == numbers.count(network.cost(plan).macs)
    assert shown["Accuracy"] == numbers.percent(engine.measure(desk, network, plan)[0].accuracy.top1)
    assert desk.plan == Plan(), "nothing on the desk has changed"


def test_what_a_method_would_do_is_read_off_its_phases():
    network = state.network(state.desk().model)
    found = {each.card.key: preview.of(each.card.key, network) for each in METHODS}
    assert isinstance(found["netslim"], BatchNormScale)
    assert found["mag"].grain is Grain.ELEMENT and found["nm"].grain is Grain.N_OF_M
    assert found["dmcp"].sentence == preview.LEARNT and found["layerprune"].sentence == preview.REBUILDS
    assert preview.of("alloc-uniform", network).sentence == preview.NO_CHANNELS
    told = preview.in_order("netslim", network)
    assert told.count("green-badge[train") == 2 and told.index("green") < told.index("orange-badge[cut")
    assert preview.in_order("l1", network) == ""


def test_a_new_criterion_has_a_card_without_another_line(page, monkeypatch):
    monkeypatch.setattr(criteria, "CRITERIA", (*CRITERIA, Alphabet))
    page.session_state["taxonomy.card"] = "alphabet"
    page.run()
    assert not page.exception and not page.error
    assert any(Alphabet.card.name in heading.value for heading in page.subheader)
    assert any(f"**{len(CRITERIA) + 1} criteria**" in text.value for text in page.markdown)


def test_no_two_things_share_a_key():
    assert len({each.card.key for each in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("cls", "widget"),
    [
        (ALLOCATIONS[-2], "button_group"),
        (EXPLORERS[-1], "selectbox"),
        (SCHEDULES[-1], "selectbox"),
        (METHODS[-1], "selectbox"),
    ],
    ids=["allocation", "search", "schedule", "method"],
)
def test_what_is_no_criterion_is_tried_on_its_own_page_and_chosen_there(cls, widget, monkeypatch):
    monkeypatch.chdir(ROOT)
    network = state.network(state.desk().model)
    desk = state.desk().with_plan(Plan({network.groups[-1].key: (0, 1)}))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.session_state["taxonomy.card"], app.session_state["desk"] = cls.card.key, desk
    app.session_state["taxonomy.tab"] = "Idea"
    app.run().switch_page("pages/taxonomy/page.py").run()
    assert not app.exception
    shown = [each.value.strip("$ \n") for each in app.latex]
    assert cls.card.formula in shown
    if cls.card.paper:
        assert any(cls.card.paper.title in each.value for each in app.markdown)
    app.session_state["taxonomy.tab"] = "Try it here"
    app.run()
    app.button(key="taxonomy.go").click().run()
    assert not app.exception
    where = registry.home(cls.card.key)
    assert getattr(app, widget)(key=where.choice).value == cls.card.key
    assert not [each for each in app.warning if "default value" in each.value]
