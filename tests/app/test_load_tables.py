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
    page.selectbox(key="choose.table.1.target").set_value("length").run()
    page.button_group(key="choose.table.1.task.length").set_value("classes").run()
    page.button(key="choose.table.1.read").click().run()
    assert "holds fractions, which are no classes" in page.error[0].value, "and the form is still there"
    page.selectbox(key="choose.table.1.target").set_value("kind").run()
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
    assert train.size == (1,) and train.classes == () and "1 number for each" in text_of(page)


def test_a_column_says_the_part_and_several_are_targets(monkeypatch, tmp_path):
    dice = np.random.default_rng(0)
    table = pd.DataFrame(dice.normal(size=(40, 4)).round(3), columns=["width", "height", "price", "weight"])
    table["town"], table["split"] = ["York", "Bath"] * 20, ["Train"] * 30 + ["test"] * 10
    path = tmp_path / "sent"
    table.to_parquet(path, index=False)
    sent = inbox.Sent(path, "houses.parquet", path.stat().st_size, 1)
    page = opened("choose", monkeypatch, **{f"inbox.{data.SLOT}": sent, "choose.data.source": data.FILE})
    part = page.selectbox(key="choose.table.1.part")
    assert (part.value, part.options) == ("split", ["as the column split says (proposed)", "divided by chance"])
    page.selectbox(key="choose.table.1.target.split").set_value("price").run()
    page.multiselect(key="choose.table.1.more.price").set_value(["weight"]).run()
    page.button_group(key="choose.table.1.texts").set_value("whole numbers").run()
    page.button(key="choose.table.1.read").click().run()
    ref = page.session_state["desk"].data
    train, test = state.splits(ref)
    assert (len(train), len(test), train.size, tuple(train.labels.shape)) == (30, 10, (3,), (30, 2))
    assert sorted(set(train.images[:, 2].tolist())) == [0, 1], "Bath, York"
    said = text_of(page)
    assert "says which rows are for training (30) and which for testing (10)" in said
    assert "The targets are 'price', 'weight'" in said and "2 numbers for each" in said
    assert "became whole numbers from 0 to 1, in alphabetical order: 'Bath', 'York'" in said
