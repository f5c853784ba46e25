"""The Taxonomy page is made of the registry alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.taxonomy import charts, frames, registry
from pages.ui import state
from pruning_core import criteria
from pruning_core.allocation.schedule import SCHEDULES
from pruning_core.allocation.search import EXPLORERS
from pruning_core.allocation.shortcuts import SHORTCUTS
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.criteria import CRITERIA, L1Norm
from pruning_core.graph import Plan
from pruning_core.methods.recoveries import RECOVERIES
from pruning_core.methods.registry import METHODS
from pruning_core.runs.view import State
from pruning_core.studies.scores import ScoresRun
from tests.app.fake_criterion import Alphabet
from tests.app.test_ui_theme import contrast

ROOT = Path(__file__).parents[2]


def open_page(timeout: float = 90) -> AppTest:
    """The page by itself, not run yet."""
    return AppTest.from_file(str(ROOT / "pages" / "taxonomy" / "page.py"), default_timeout=timeout)


AXES = ["data", "time", "family"]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    return open_page()


ALL = (*CRITERIA, *ALLOCATIONS, *SHORTCUTS, *EXPLORERS, *SCHEDULES, *RECOVERIES, *METHODS)


def test_all_that_runs_has_its_place_once():
    table = frames.table(registry.cards())
    nodes = frames.tree(table, AXES, "all")
    leaves = nodes[nodes["depth"] == len(AXES) + 1]
    assert sorted(leaves["label"]) == sorted(each.card.name for each in ALL)
    assert nodes["id"].is_unique and set(nodes["parent"]) <= {*nodes["id"], ""}
    assert nodes.loc[nodes["depth"] == 0, "count"].iloc[0] == len(ALL)
    below = nodes.groupby("parent")["count"].sum()
    inner = nodes[nodes["depth"] <= len(AXES)].set_index("id")["count"]
    assert all(below[node] == count for node, count in inner.items()), "a part is as large as what is in it"


def test_every_label_of_the_picture_can_be_read_on_either_page():
    figure = charts.icicle(frames.tree(frames.table(registry.cards()), AXES, "all"), selected=None)
    nodes = figure.data[0]
    assert min(contrast(nodes.textfont.color, color) for color in nodes.marker.colors) >= 4.5
    assert max(map(len, nodes.text)) <= charts.LONGEST < max(map(len, nodes.labels)), "else it is drawn too small"


def test_a_node_narrows_the_table_to_what_is_below_it():
    table = frames.table(registry.cards())
    nodes = frames.tree(table, AXES, "all")
    for node in nodes.itertuples():
        assert len(frames.members(table, AXES, node.id)) == node.count
    assert len(frames.members(table, AXES, "from\x1felsewhere")) == len(table)


def test_the_timeline_shows_every_paper_in_its_year():
    table = frames.table(registry.cards())
    families = list(dict.fromkeys(table["family"]))
    figure = charts.timeline(table, families=families, selected=None)
    dots = next(trace for trace in figure.data if trace.name == charts.PAPERS)
    years = dict(zip(dots.customdata, dots.x))
    dated = {each.card.key: each.card.paper.year for each in ALL if each.card.paper}
    assert set(years) == set(dated)
    assert all(abs(years[key] - year) < 0.5 for key, year in dated.items()), "beside each other, in the same year"


def test_the_card_shows_formula_paper_and_marks(page):
    page.session_state["taxonomy.card"] = "l1"
    page.run()
    assert not page.exception and not page.error
    card = L1Norm.card
    assert page.latex[0].value.strip("$ \n") == card.formula
    assert any(card.paper.title in text.value and card.paper.url in text.value for text in page.markdown)
    assert any(card.fails in text.value for text in page.markdown)
    assert list(page.dataframe[1].value["result"]) == [each.result for each in card.published]
    assert any("-badge[published]" in text.value for text in page.markdown)


def test_a_criterion_is_tried_on_the_loaded_network(page):
    desk = state.desk()
    view = state.jobs().wait(state.jobs().submit(ScoresRun(desk.model, desk.data, (L1Norm(),)), "me"), 120)
    assert view.state is State.DONE, view.error
    page.session_state["taxonomy.card"] = "l1"
    page.run()
    assert not page.exception
    assert any("groups scored in" in text.value for text in page.markdown)


def test_a_new_criterion_has_a_card_without_another_line(page, monkeypatch):
    monkeypatch.setattr(criteria, "CRITERIA", (*CRITERIA, Alphabet))
    page.session_state["taxonomy.card"] = "alphabet"
    page.run()
    assert not page.exception and not page.error
    assert Alphabet.card.name in list(page.dataframe[0].value["name"])
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
    app.run().switch_page("pages/taxonomy/page.py").run()
    assert not app.exception
    shown = [each.value.strip("$ \n") for each in app.latex]
    assert cls.card.formula in shown
    if cls.card.paper:
        assert any(cls.card.paper.title in each.value for each in app.markdown)
    app.button(key="taxonomy.go").click().run()
    assert not app.exception
    where = registry.home(cls.card.key)
    assert getattr(app, widget)(key=where.choice).value == cls.card.key
    assert not [each for each in app.warning if "default value" in each.value]
