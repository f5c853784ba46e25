"""The desk as a link, the plan as a file: opened by somebody else, forged, and when there is something to lose."""

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import sharing, state
from pages.ui.desk import first_desk, remember
from pages.ui.returning import DESK
from pruning_core.errors import UserError
from pruning_core.export.link import DAMAGED, Shared, token
from pruning_core.graph import Plan
from pruning_core.zoo import DEMOS, ModelRef
from tests.app.page_under_test import ROOT
from tests.app.pruned_desk import pruned_desk

PLAN = Plan({"layer1.0.conv1": (0, 1, 2), "layer2.0.conv1": (4,)})
WORST = "a`b![x](http://evil/x)<img src=//evil/x>$x$:red[y]"


@pytest.fixture
def arrives(monkeypatch):
    """A visitor who comes by an address with this token in it."""
    monkeypatch.chdir(ROOT)

    def open_app(text, owner, page=None):
        monkeypatch.setattr(state, "owner", lambda: owner)
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        app.query_params[DESK] = text
        app.run()
        assert not app.exception
        return app

    yield open_app
    state.jobs().close()


def test_somebody_elses_browser_finds_the_same_plan(arrives):
    desk = first_desk().with_model(DEMOS[1].ref, DEMOS[1].data)
    group = state.network(desk.model).groups[0]
    desk = desk.with_plan(Plan({group.key: (1, 2)}))
    address = sharing.address(desk, "https://prune.example/whatif?x=1")
    parts = urlsplit(address)
    assert (parts.netloc, parts.path) == ("prune.example", "/whatif")
    app = arrives(parse_qs(parts.query)[DESK][0], "you")
    found = app.session_state["desk"]
    assert (found.model, found.data, found.plan) == (desk.model, desk.data, desk.plan)
    assert not app.error and DESK not in app.query_params


@pytest.mark.parametrize("text", ["x", "<script>", "A" * 9000])
def test_a_forged_link_is_one_sentence_and_changes_nothing(arrives, text):
    app = arrives(text, "you")
    assert [each.value for each in app.error] == [DAMAGED]
    assert app.session_state["desk"] == first_desk()
    app.run()
    assert app.error, "it stays until it is closed"
    app.button(key="sharing.close").click().run()
    assert not app.error


def test_a_plan_of_another_network_is_refused_with_the_networks_own_sentence(arrives):
    app = arrives(token(Shared(DEMOS[0].ref, DEMOS[0].data, Plan({f"{WORST}": (0,)}))), "you")
    (fault,) = (each.value for each in app.error)
    assert "<img" not in fault.replace("\\<img", "") and "![x]" not in fault
    assert app.session_state["desk"] == first_desk()


def test_somebodys_network_opens_on_this_server_for_those_who_have_the_link(arrives):
    desk = pruned_desk(state.workspace(), "me", renewed=True)
    text = token(Shared(desk.model, desk.data, Plan()))
    app = arrives(text, "you")
    assert "this server does not have" in app.error[0].value and app.session_state["desk"] == first_desk()
    sharing._note(Shared(desk.model, desk.data, Plan()))  # as the sidebar does when it shows the link
    assert arrives(text, "you").session_state["desk"].model == desk.model
    gone = replace(desk.model, weights="e" * 64)
    sharing._note(Shared(gone, desk.data, Plan()))
    assert "no longer in the data directory" in arrives(token(Shared(gone, desk.data, Plan())), "you").error[0].value


def test_a_plan_that_would_be_lost_is_asked_about(arrives):
    mine = first_desk().with_plan(Plan({"layer1.0.conv1": (5,)}))
    text = token(Shared(mine.model, mine.data, PLAN))
    for answer, left in (("sharing.keep", mine.plan), ("sharing.open", PLAN)):
        remember(state.workspace(), "you", mine)
        app = arrives(text, "you")
        assert app.session_state["desk"].plan == mine.plan
        assert any("removes 4 channels from 2 groups" in each.value for each in app.markdown)
        app.button(key=answer).click().run()
        assert app.session_state["desk"].plan == left
        assert not [each for each in app.button if each.key == answer]


def sent(content, monkeypatch, owner="you"):
    """What opening this file says, by a script as a page runs it."""
    monkeypatch.setattr(state, "owner", lambda: owner)

    def page():
        import streamlit as st

        from pages.ui import sharing, state
        from pruning_core.errors import UserError

        try:
            st.write(sharing.open_file(st.session_state["file"], state.desk()))
        except UserError as error:
            st.session_state["said"] = str(error)

    app = AppTest.from_function(page, default_timeout=60)
    app.session_state["file"] = content
    return app.run()


def test_a_plan_file_brings_its_network_or_fits_the_one_on_the_desk(monkeypatch):
    desk = first_desk().with_model(DEMOS[1].ref, DEMOS[1].data)
    desk = desk.with_plan(Plan({state.network(desk.model).groups[0].key: (1, 2)}))
    text = sharing._written(desk)
    app = sent(text.encode(), monkeypatch)
    assert app.session_state["desk"].model == desk.model and app.session_state["desk"].plan == desk.plan
    own = json.loads(sharing._written(first_desk().with_plan(PLAN)))
    own["base"]["ref"] = json.loads(ModelRef("upload", WORST, weights="a" * 64, architecture="resnet18").to_json())
    own["base"]["title"] = WORST
    app = sent(json.dumps(own).encode(), monkeypatch, "another")
    assert app.session_state["desk"].plan == PLAN and "it fits the network on the desk" in app.markdown[0].value
    assert "![x]" not in app.markdown[0].value.replace("\\!", "!").replace("!\\[", "")
    own["plan"] = {"nowhere": [1]}
    app = sent(json.dumps(own).encode(), monkeypatch, "a third")
    assert "this server does not have" in app.session_state["said"] and not app.session_state["desk"].plan
    for junk in (b"\xff\xfe", b"", b"[]", b'{"format": "other"}'):
        assert sent(junk, monkeypatch, "a fourth").session_state["said"]


def test_what_is_no_plan_is_refused():
    with pytest.raises(UserError, match="no text"):
        sharing.open_file(b"\xff\xfe\x00", first_desk())
