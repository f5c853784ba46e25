"""The myths: each has a right statement, and what can be measured is measured when it is asked for."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.myths import sections, showing
from pages.myths.myths import MYTHS, TEXTS
from pages.ui import numbers
from pages.ui.charts import alt_text
from pages.ui.demo import Demo
from pruning_core.criteria import GeometricMedian

ROOT = Path(__file__).parents[2]
LIVE = [myth for myth in MYTHS if myth.show]


@pytest.fixture(scope="module")
def demo():
    return Demo.first()


def test_every_myth_has_its_text_and_another_statement():
    assert len({myth.claim for myth in MYTHS}) == len(MYTHS)
    assert all(myth.text < len(TEXTS) and myth.right and myth.right != myth.claim for myth in MYTHS)
    assert all(bool(myth.show) == bool(myth.found) for myth in MYTHS)
    assert {myth.text for myth in MYTHS} == set(range(len(TEXTS)))


@pytest.mark.parametrize("myth", LIVE, ids=lambda myth: myth.show.__name__)
def test_what_is_shown_fills_its_sentence(myth, demo):
    shown = myth.show(demo)
    asked = {name for _, name, _, _ in string.Formatter().parse(myth.found) if name}
    assert asked == set(shown.values)
    assert shown.sources and alt_text(shown.figure) and all(shown.values.values())


def test_measured_again_it_is_the_same(demo):
    plan = demo.cut(demo.ranks(GeometricMedian()), 0.5, (demo.widest.key,))
    told = showing.nearest_or_farthest(demo).values
    assert told["right"] == numbers.percent(demo.measured(plan).accuracy.top1) != told["wrong"]
    assert showing.soft_threshold(demo).values["prox"] == "0"


def test_it_is_measured_when_asked_and_only_then(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = AppTest.from_file(str(ROOT / "pages" / "myths" / "page.py"), default_timeout=120).run()
    assert not page.exception and not any("Measured" in text.value for text in page.markdown)
    number = MYTHS.index(LIVE[1])
    page.button(key=f"myths.{number}").click().run()
    assert not page.exception and not page.error
    assert any("**Measured:**" in text.value and "{" not in text.value for text in page.markdown)
    page.toggle(key="myths.live").set_value(True).run()
    assert sum("It is said" in text.value for text in page.markdown) == len(LIVE), sections.LIVE
