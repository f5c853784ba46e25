"""Two tabs of one visitor, and what adds to a plan."""

import pytest

from pages.ui import history, state
from pruning_core.graph import Plan
from tests.app.page_under_test import carried, opened


def key_of(at: int) -> str:
    return f"whatif.group.{state.network(state.desk().model).groups[at].key}"


def planned(page) -> Plan:
    return page.session_state["desk"].plan


def test_a_tab_that_is_behind_overwrites_nothing_and_says_so(monkeypatch):
    first = opened("whatif", monkeypatch)
    second = carried("whatif", first, monkeypatch)
    first.slider(key=key_of(0)).set_value(50).run()
    plan = planned(first)
    second.slider(key=key_of(1)).set_value(50).run()
    assert planned(second) == plan, "the other tab's plan stands, here too"
    assert state.ELSEWHERE in [each.value for each in second.toast]
    second.slider(key=key_of(1)).set_value(50).run()
    assert len(planned(second)) == 2 and not [each for each in second.toast if each.value == state.ELSEWHERE]
    assert planned(carried("whatif", first, monkeypatch)) == planned(second)


def test_a_click_that_ends_the_script_while_the_desk_is_kept_is_no_other_tab(monkeypatch):
    """A quick second click ends the first one's script wherever it touches the session."""
    touched, ends_at = [], 0

    class Session(dict):
        def touch(self):
            touched.append(1)
            if len(touched) == ends_at:
                raise InterruptedError

        def __getitem__(self, key):
            self.touch()
            return super().__getitem__(key)

        def get(self, key, default=None):
            self.touch()
            return super().get(key, default)

        def __setitem__(self, key, value):
            self.touch()
            super().__setitem__(key, value)

    monkeypatch.setattr(state.st, "session_state", Session(owner="quick"))
    group = state.network(state.desk().model).groups[0].key
    plans = [Plan({group: range(count)}) for count in (1, 2, 3)]
    touched.clear()
    assert state.choose_plan(plans[0])
    whole = len(touched)
    touched.clear()
    for ends_at in range(1, whole + 1):
        with pytest.raises(InterruptedError):
            state.choose_plan(plans[1])
        touched.clear()
        ends_at = 0
        assert state.choose_plan(plans[2]), "no other tab has changed anything"
        touched.clear()


def test_what_adds_to_the_plan_takes_nothing_away_and_can_be_undone(monkeypatch):
    page = opened("similarity", monkeypatch)
    network = state.network(state.desk().model)
    group = next(g for g in network.groups if g.key == page.selectbox(key="similarity.layer").value)
    before = Plan({group.key: range(3)})
    page.session_state["desk"] = page.session_state["desk"].with_plan(before)
    page.button(key="similarity.add").click().run()
    after = planned(page)
    assert {0, 1, 2} < set(after[group.key]) and len(after[group.key]) < group.size
    assert page.session_state[history.PAST][page.session_state["desk"].model.key][-1][0] == before
