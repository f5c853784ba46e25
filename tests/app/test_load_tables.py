"""A table on the Load page: its columns are shown, target and task proposed and chosen, refusals leave the form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pages.choose import data, inbox
from pages.ui import state
from tests.app.page_under_test import opened, text_of


@pytest.fixture
def page(monkeypatch, tmp_path):
    dice = np.random.default_rng(0)
    table = pd.DataFrame({"length": dice.normal(size=40), "legs": dice.integers(2, 9, 40)})
    table["home"], table["kind"] = ["sea", "land"] * 20, ["bird", "fish"] * 20
    path = tmp_path / "sent"
    table.to_csv(path, index=False)
    sent = inbox.Sent(path, "pets.csv", path.stat().st_size, 1)
    return opened("choose", monkeypatch, **{f"inbox.{data.SLOT}": sent, "choose.data.source": data.FILE})


def test_from_columns_to_the_desk(page):
    (told,) = [each.value for each in page.dataframe if "holds" in each.value.columns]
    assert told["holds"].tolist() == ["numbers", "numbers", "texts", "texts"]
    assert page.selectbox(key="choose.table.1.target").value == "kind"
    page.button(key="choose.table.1.read").click().run()
    assert "column 'home' of 'pets.csv' holds texts" in page.error[0].value, "and the form is still there"
    page.toggle(key="choose.table.1.one_hot").set_value(True).run()
    page.button(key="choose.table.1.read").click().run()
    ref = page.session_state["desk"].data
    assert (ref.source, ref.target, ref.one_hot) == ("table", "kind", True)
    train, _ = state.splits(ref)
    assert train.size == (4,) and train.classes == ("bird", "fish")
    said = text_of(page)
    assert "rows of 4 numbers, 2 classes" in said
    assert any("reads 1 × 8 × 8 numbers at a time" in each.value for each in page.warning)
    page.button_group(key=f"choose.details.{ref.key[:12]}.scaling").set_value("as they are").run()
    page.button(key="choose.details.apply").click().run()
    assert state.splits(page.session_state["desk"].data)[0].std == (1.0,) * 4


def test_another_target_is_numbers(page):
    page.selectbox(key="choose.table.1.target").set_value("length").run()
    page.multiselect(key="choose.table.1.out.length").set_value(["home", "kind"]).run()
    page.button(key="choose.table.1.read").click().run()
    train, _ = state.splits(page.session_state["desk"].data)
    assert train.size == (1,) and train.classes == () and "one number for each" in text_of(page)
