"""A dataclass with knobs becomes widgets, and the widgets become the instance."""

from dataclasses import asdict, dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from pages.ui.widgets import log_steps
from pruning_core.knobs import Choice, Range, Toggle


@dataclass(frozen=True)
class Everything:
    p: Annotated[int, Choice((1, 2), "Norm order")] = 1
    layer: Annotated[str, Choice(("a", "b", "c", "d", "e", "f"), "Layer")] = "c"
    share: Annotated[float, Range(0.0, 1.0, "Share", step=0.05)] = 0.25
    epochs: Annotated[int, Range(1, 20, "Epochs")] = 4
    rate: Annotated[float, Range(1e-5, 1.0, "Rate", log=True)] = 1e-2
    mean: Annotated[bool, Toggle("Mean", help="of all")] = False
    fixed: int = 7


@dataclass(frozen=True)
class Nothing:
    pass


def _page():
    from dataclasses import asdict

    import streamlit as st

    from pages.ui.widgets import knob_widgets
    from tests.app.test_ui_widgets import Everything, Nothing

    st.session_state["made"] = asdict(knob_widgets(Everything, "here"))
    st.session_state["bare"] = asdict(knob_widgets(Nothing, "here"))


@pytest.fixture
def page():
    run = AppTest.from_function(_page).run(timeout=20)
    assert not run.exception
    return run


def test_untouched_widgets_give_the_defaults(page):
    assert page.session_state["made"] == asdict(Everything())
    assert page.session_state["bare"] == {}


def test_every_kind_of_knob_reaches_the_instance(page):
    page.segmented_control(key="here.Everything.p").set_value(2)
    page.selectbox(key="here.Everything.layer").set_value("f")
    page.slider(key="here.Everything.share").set_value(0.5)
    page.slider(key="here.Everything.epochs").set_value(9)
    page.select_slider(key="here.Everything.rate").set_value(1.0)
    page.toggle(key="here.Everything.mean").set_value(True)
    page.run()
    made = page.session_state["made"]
    assert made == {"p": 2, "layer": "f", "share": 0.5, "epochs": 9, "rate": 1.0, "mean": True, "fixed": 7}
    assert isinstance(made["epochs"], int)


@given(st.floats(1e-8, 1e-2), st.floats(1.5, 1e6), st.floats(0, 1))
def test_a_log_scale_keeps_its_ends_and_its_default(low, factor, position):
    default = low * factor**position
    steps = log_steps(low, low * factor, default)
    assert steps == sorted(steps) and len(steps) == len(set(steps))
    assert steps[0] == low and low * factor in steps and default in steps


def test_a_whole_log_scale_stays_whole():
    assert log_steps(1, 1000, 100) == sorted(set(log_steps(1, 1000, 100)))
    assert all(isinstance(step, int) for step in log_steps(1, 1000, 100))
