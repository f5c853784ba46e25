"""The first page: what this is, where to go, a result that was prepared, and what comes next."""

import re
from dataclasses import replace

from pages.home.standing import following
from pages.ui import links, standing, state
from pages.ui.sizes import prepared
from pruning_core.graph import Plan
from tests.app.page_under_test import text_of
from tests.app.pruned_desk import pruned_desk
from tests.app.test_app_shell import app, metrics  # noqa: F401 (app is a fixture)


def test_the_first_page_says_what_this_is_and_where_one_is(app):  # noqa: F811
    assert app.title[0].value == "PruneScope"
    said = text_of(app)
    first = next(each.value for each in app.main.markdown if "smaller" in each.value)
    assert len(re.findall(r"\.(?=\s|$)", first)) == 2, "two sentences"
    for door in ("My network", "Learn", "Show"):
        assert f"**{door}**" in said
    assert "**Network** ResNet on digits" in said and "450 test images" in said and "nothing planned" in said


def test_the_prepared_result_is_the_stored_one_and_says_so(app):  # noqa: F811
    found = prepared()
    after = next(each for each in found.sizes if each.share == 0.4)
    assert metrics(app)["Accuracy after the cut"] == f"{100 * after.accuracy.top1:.1f}\u202f%"
    assert metrics(app)["Work for one image"] == f"{after.macs:,}"
    assert "not now" in text_of(app) and "python -m tools.prepared" in found.measured.facts


def test_the_next_step_follows_what_is_on_the_desk(monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: "me")
    first = state.desk()
    assert following(first, True)[1] is links.to_what_if
    assert following(first, False)[1] is links.to_load
    planned = first.with_plan(Plan({"layer1.0.conv1": (0, 1)}))
    assert "not applied yet" in following(planned, True)[0]
    desk = pruned_desk(state.workspace(), "me")
    assert following(desk, True)[1] is links.to_fine_tune
    assert desk.model == replace(desk.model)


def test_a_plan_that_another_recovery_was_applied_with_is_applied_everywhere(monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: "me")
    planned = state.desk().with_plan(Plan({"layer1.0.conv1": (0, 1)}))
    assert "not applied yet" in standing.plan(planned)
    monkeypatch.setattr(standing, "_cuts", lambda base, plan: ["one"] if plan == planned.plan.to_json() else [])
    assert "not applied yet" not in standing.plan(planned) + following(planned, True)[0]
