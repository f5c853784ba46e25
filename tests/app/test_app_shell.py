"""The frame and the first page, without a browser."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import server, standing, state
from pages.ui.cookie import USER_COOKIE, UserCookie
from pages.ui.errors import plain_errors, report
from pages.ui.sweeps import judged_on
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.graph.edits import Drop, edited
from pruning_core.studies.pruned import Pruned
from pruning_core.zoo import ModelRef, store_weights
from pruning_core.zoo.rebuilt import EDITS, told

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app(monkeypatch):
    monkeypatch.chdir(ROOT)
    run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not run.exception and not run.error
    return run


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


@pytest.fixture
def model_page(app):
    run = app.switch_page("pages/model/page.py").run()
    assert not run.exception and not run.error
    return run


def test_the_model_page_shows_the_demo(model_page):
    assert model_page.title[0].value == "ResNet on digits"
    shown = metrics(model_page)
    network = state.network(state.desk().model)
    assert shown["Parameters"] == f"{network.cost().parameters:,}"
    assert shown["MACs"] == f"{network.cost().macs:,}"
    assert {"Top-1 accuracy", "Top-5 accuracy", "Size", "Latency"} <= set(shown)


def test_nothing_moves_when_the_server_has_warmed_up(monkeypatch):
    """What moves is mounted anew in the browser, and whatever had the keyboard loses it."""
    monkeypatch.chdir(ROOT)
    warming = server.WarmUp()
    monkeypatch.setattr(warming, "_work", warming._done.set)
    monkeypatch.setattr(server, "WARM_UP", warming)
    run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert warming.done

    def place():
        return [at for at, each in run.main.children.items() if each.type == "title"]

    first = place()
    run.run()
    assert first and place() == first


@pytest.mark.parametrize("page", ["home", "model", "show"])
def test_every_figure_on_the_page_says_where_it_comes_from(app, page):
    app.switch_page(f"pages/{page}/page.py").run()
    said = [*app.main.markdown, *app.main.caption]  # a caption says what a figure waits for
    marks = [each.value for each in said if "-badge[" in each.value]
    assert len(marks) >= len(app.metric)


def test_the_layer_table_adds_up_to_the_figures(model_page):
    table = model_page.dataframe[0].value
    cost = state.network(state.desk().model).cost()
    assert table["parameters"].sum() == cost.parameters
    assert table["macs"].sum() == cost.macs


def test_a_deep_link_runs_inside_the_frame(app):
    """AppTest skips app.py when `pages/` holds scripts directly; this would be seen here."""
    assert any("ResNet on digits" in each.value for each in app.sidebar.markdown)


def call(scope, status=200):
    """The response headers that the middleware lets out for one request."""
    sent = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    asyncio.run(UserCookie(inner)(scope, receive, send))
    return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]


def scope(*headers, scheme="http"):
    return {"type": "http", "path": "/", "scheme": scheme, "headers": [(b"accept", b"text/html,*/*"), *headers]}


def test_a_new_browser_gets_a_name_that_scripts_cannot_read():
    (cookie,) = call(scope())
    assert cookie.startswith(f"{USER_COOKIE}=") and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert "Secure" in call(scope(scheme="https"))[0]
    assert call(scope()) != call(scope())


def test_a_page_from_the_browsers_cache_brings_a_name_too():
    assert call(scope(), status=304)


def test_a_known_browser_keeps_its_name():
    assert not call(scope((b"cookie", f"other=1; {USER_COOKIE}=abc".encode())))


def test_pictures_and_scripts_set_no_cookie():
    assert not call({**scope(), "headers": [(b"accept", b"image/png")]})


def test_a_user_error_is_its_sentence_and_a_bug_is_not_swallowed():
    def page():
        from pages.ui.errors import plain_errors
        from pruning_core.errors import UserError

        with plain_errors():
            raise UserError("The file is not a checkpoint. Choose another one.")

    run = AppTest.from_function(page).run(timeout=20)
    assert run.error[0].value == "The file is not a checkpoint. Choose another one."
    with pytest.raises(ZeroDivisionError), plain_errors():
        _ = 1 / 0
    assert issubclass(UserError, Exception)


def test_the_report_of_a_bug_names_no_path_and_no_cause(caplog):
    try:
        Path("/etc/secret/model.pt").read_bytes()
    except OSError as error:
        sentence = report(error)
    assert "secret" not in sentence and "incident" in sentence
    number = sentence.split("incident ")[1][:6]
    assert number in caplog.text and "secret" in caplog.text, "the log has both"


def test_what_is_drawn_first_does_not_wait_for_torch():
    code = (
        "import sys; import pages.ui.server, pages.ui.sidebar, pages.ui.state, pages.ui.first_paint;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_what_is_on_the_desk_is_planned_then_applied_then_cut(monkeypatch):
    monkeypatch.chdir(ROOT)
    first = state.desk()
    network = state.network(first.model)
    plan = Plan({group.key: range(group.size // 4) for group in network.groups[:4]})
    planned = first.with_plan(plan)

    def said(desk):
        run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        run.session_state["desk"] = desk
        run.run()
        assert not run.exception and not run.error
        return " ".join(each.value for each in run.sidebar.markdown)

    assert "nothing planned" in said(first) and "cut" not in said(first)
    assert "**4** of 6 groups planned" in said(planned) and "not applied yet" in said(planned)
    looked = replace(standing.application(planned), data=judged_on(planned.data))
    monkeypatch.setattr(state, "owner", lambda: "me")
    state.jobs().wait(state.jobs().submit(looked, "me"), 120)
    assert "not applied yet" in said(planned), "measured to choose by is not applied"
    job = state.jobs().submit(standing.application(planned), "me")
    found = state.jobs().wait(job, 120).last(Pruned)
    assert "not applied yet" not in said(planned) and "applied" in said(planned)
    cut = first.with_model(found.model, first.data)
    assert "-badge[cut]" in said(cut) and "nothing more planned" in said(cut)
    assert standing.made(found.recovered.model) is standing.Made.REFITTED
    state_dict = {name: value.clone() for name, value in state.loaded(found.model).model.state_dict().items()}
    state_dict["conv1.weight"] += 1
    tuned = replace(found.model, weights=store_weights(state_dict, state.workspace()))
    assert standing.made(tuned) is standing.Made.CHANGED
    assert standing.came_from(found.model)[1] == standing.came_from(found.recovered.model)[1] == found
    assert standing.came_from(tuned)[1] == found and standing.came_from(first.model) is None


def test_a_rebuilt_network_has_no_plan_and_is_told_as_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    first = state.desk()
    weights = edited(state.loaded(first.model).model, (Drop("layer1.0"),)).state_dict()
    ref = ModelRef("rebuilt", first.model.name, store_weights(weights, state.workspace()),
                   options=((EDITS, told((Drop("layer1.0"),))),), base=first.model)  # fmt: skip
    for page in ("model", "whatif", "methods", "finetune", "download"):
        run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        run.session_state["desk"] = first.with_model(ref, first.data)
        run.run()
        run.switch_page(f"pages/{page}/page.py").run()
        assert not run.exception and not run.error, page
        assert f"-badge[{standing.Made.REBUILT}]" in " ".join(each.value for each in run.sidebar.markdown)
        if page == "whatif":
            assert "The rebuilt network is on the desk" in run.success[0].value
