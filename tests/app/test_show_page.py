"""The page for a meeting: numbers that were measured, at every size, and the images behind them."""

import re
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from pages.show import sections, sources
from pages.ui import sizes, state
from pages.ui.desk import remember
from pages.ui.sizes import prepared
from pruning_core.runs.view import State
from pruning_core.zoo import DEMOS
from pruning_core.zoo.demos import available_demos
from tests.app.page_under_test import ROOT, metrics, opened, text_of
from tests.app.pruned_desk import pruned_desk
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)

ME = "me"


@pytest.fixture(autouse=True)
def one_visitor(monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: ME)
    yield
    state.jobs().close()


def galleries(page):
    found = []

    def walk(node):
        proto = getattr(node, "proto", None)
        if proto is not None and proto.DESCRIPTOR.name == "Html" and "<figure" in proto.body:  # not a link to a file
            found.append(proto.body)
        for child in getattr(node, "children", {}).values():
            walk(child)

    walk(page._tree)
    return found


def test_the_demo_is_there_at_once_and_every_size_answers(monkeypatch):
    page = opened("show", monkeypatch)
    assert page.title[0].value == "ResNet on digits, made smaller"
    for size in prepared().sizes:
        share = next(each for each in page.select_slider(key=sections.AT).options
                     if each.startswith(f"{100 * size.macs / prepared().whole.macs:.0f}"))  # fmt: skip
        page.select_slider(key=sections.AT).set_value(share).run()
        assert not page.exception
        assert metrics(page)["Work for one image"] == f"{size.macs:,}"
        assert metrics(page)["Accuracy"] == f"{100 * size.accuracy.top1:.1f}\u202f%"
    changed = sum(a != b for a, b in zip(prepared().whole.predicted, prepared().sizes[-1].predicted))
    assert f"{changed} get another answer" in text_of(page)


def test_the_images_are_those_whose_answer_changed(monkeypatch):
    page = opened("show", monkeypatch, **{sections.WHICH: sections.CHANGED})
    before, after = galleries(page)
    size = min(prepared().sizes, key=lambda each: abs(each.share - sizes.SHOWN_FIRST))
    flipped = [at for at, (a, b) in enumerate(zip(prepared().whole.predicted, size.predicted)) if a != b]
    assert [int(each) for each in re.findall(r"test image (\d+)", before)] == flipped[: sections.SHOWN]
    assert re.findall(r'class="(?:right|wrong)">. (\w+)', after) == [str(size.predicted[at]) for at in flipped]
    assert before.count("base64") == after.count("base64") == len(flipped)


def test_another_network_is_measured_when_asked_and_then_shown(monkeypatch, one_thread):  # noqa: F811
    desk = state.desk().with_model(DEMOS[1].ref, replace(DEMOS[1].data, measure="top1"))  # not what was prepared
    remember(state.workspace(), ME, desk)
    monkeypatch.chdir(ROOT)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    page.switch_page("pages/show/page.py").run()
    assert not page.metric and "cut to 6 sizes" in text_of(page)
    page.button(key="show.start").click().run()
    (view,) = [each for each in state.jobs().of(ME) if each.kind == "front"]
    assert state.jobs().wait(view.id, 200).state is State.DONE
    page.run()
    found = sources.measured(sources.front(desk), state.jobs().snapshot(view.id))
    assert len(found.sizes) == 7 and not found.prepared
    assert metrics(page)["Accuracy"].endswith("%") and len(galleries(page)) == 2


def test_the_network_that_the_visitor_made_stands_beside_what_it_was_made_from(monkeypatch, one_thread):  # noqa: F811
    desk = pruned_desk(state.workspace(), ME, renewed=True)
    page = opened("show", monkeypatch, desk=desk)
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 100).state is State.DONE
    page.run()
    after = state.network(desk.model).cost()
    assert metrics(page)["Work for one image"] == f"{after.macs:,}"
    assert page.title[0].value == "ResNet on digits, made smaller" and len(galleries(page)) == 2


def test_the_first_screen_is_not_of_one_class(monkeypatch):
    """The sample of CIFAR-10 comes class by class."""
    chosen = next(each for each in available_demos() if each.name == "cifar_resnet20")
    desk = state.desk().with_model(chosen.ref, chosen.data)
    page = opened("show", monkeypatch, desk=desk)
    before, after = galleries(page)
    test = state.splits(desk.data)[1]
    shown = [int(each) for each in re.findall(r"test image (\d+)", before)]
    assert len(shown) == sections.SHOWN and re.findall(r"test image (\d+)", after) == [str(each) for each in shown]
    assert len({int(test.labels[at]) for at in shown}) > 3
    assert sorted(sections.mixed(50)) == list(range(50)), "each of them once"
