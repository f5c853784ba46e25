"""Every page works for a network that is a program out of a file, and none of them runs it in the server's process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.apart import household
from pruning_core.apart.held import Held
from pruning_core.datasets import DIGITS
from pruning_core.graph import Plan
from pruning_core.isolation.children import Children
from pruning_core.zoo import ModelRef
from tests.app.page_under_test import metrics, opened
from tests.core.houses import house_of, small_program

PAGES = ("choose", "model", "whatif", "sensitivity", "search", "criteria", "similarity", "methods")
KEY = "layer1.0.conv1"


@pytest.fixture(scope="module")
def house() -> Iterator[Children]:
    with house_of("pruning_core.apart") as made:
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "small.pt2"
    path.write_bytes(small_program())
    return path


@pytest.fixture
def desk(house: Children, file: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The file was sent; whatever reads or runs it in this process fails the test."""

    def here(*given: object, **also: object) -> None:
        raise AssertionError("a stranger's program in the server's process")

    monkeypatch.setattr(household, "children", lambda: house)
    monkeypatch.setattr("pruning_core.zoo.load.read_exported", here)
    sent = household.import_network(file, "small.pt2", state.workspace())
    state.keep_opened(sent)
    assert isinstance(state.loaded(sent.loaded.ref).model, Held)
    return Desk(sent.loaded.ref, DIGITS)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    page = opened(name, monkeypatch, desk=desk.with_plan(Plan({KEY: (0, 2)})))
    if name == "whatif":
        assert metrics(page)["Accuracy"].endswith("%"), "measured in the run of the page itself"
    state.jobs().close()


def test_a_pruned_program_is_trained_and_taken_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ModelRef("pruned", desk.model.name, base=desk.model, plan=Plan({KEY: (0, 2)}).to_json())
    opened("finetune", monkeypatch, desk=Desk(small, DIGITS))
    page = opened("download", monkeypatch, desk=Desk(small, DIGITS))
    for kind in ("weights", "pt2", "script"):
        page.button(key=f"download.{kind}.make").click().run()
        assert not page.exception and not page.error, [each.value for each in page.error]
    assert isinstance(state.loaded(small).model, Held)
    state.jobs().close()
