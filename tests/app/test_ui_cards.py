"""No number without its origin."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import provenance
from pages.ui.provenance import Mark


def test_measured_says_on_what_how_many_where_and_with_which_seed():
    said = provenance.measured("digits, test split", images=450, device="CPU", seed=3)
    assert said.mark is Mark.MEASURED
    assert said.sentence == "Measured: digits, test split, 450 images, CPU, seed 3."
    assert said.brief == "450 images, CPU"


def test_an_estimate_admits_whether_it_was_ever_checked():
    assert "has not been checked" in provenance.estimated("a Taylor model").sentence
    assert "off by 0.8 points" in provenance.estimated("a Taylor model", "0.8 points").sentence


def test_a_published_number_names_its_source_and_how_it_was_read():
    assert "secondary" in provenance.published("Lin et al. 2020, table 2", verified=False).sentence
    assert "secondary" not in provenance.published("Lin et al. 2020, table 2").sentence


def _page():
    from pages.ui import cards, provenance

    cards.number("Top-1 accuracy", "97.8 %", provenance.measured("digits", images=450), delta="−3.1 points")
    cards.number("Parameters", "272,474", provenance.derived("counted in its tensors"), detail="1.1 MB")
    cards.source_line(provenance.derived("a"), provenance.derived("a"), provenance.published("a table"))


@pytest.fixture
def page():
    run = AppTest.from_function(_page).run(timeout=20)
    assert not run.exception
    return run


def test_every_figure_carries_its_mark(page):
    assert [metric.label for metric in page.metric] == ["Top-1 accuracy", "Parameters"]
    captions = [each.value for each in page.markdown]
    assert captions[0].startswith(":small[:green-badge[measured]") and "450 images" in captions[0]
    assert captions[1] == ":small[:blue-badge[derived] :gray[1.1 MB]]"
    assert page.metric[1].help == "Derived: counted in its tensors."


def test_a_loss_is_shown_as_a_loss(page):
    """Streamlit draws an upward arrow for a typographic minus."""
    assert page.metric[0].delta == "-3.1 points"


def test_a_source_is_named_once(page):
    assert page.markdown[2].value.count("derived") == 1
    assert ":violet-badge[published]" in page.markdown[2].value
