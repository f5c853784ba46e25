"""A network that the user's own code makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo import load_model
from pruning_core.zoo.factory import VARIABLE, factory_ref, named_at_start

CODE = """
from torch import nn

def small():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 7))
    model.input_size = (1, 8, 8)
    return model

def text():
    return "not a network"

def broken():
    raise OSError("no such disk")
"""


@pytest.fixture(autouse=True)
def _code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_test.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_named_factory_makes_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "mine_for_test:small")
    loaded = load_model(factory_ref("mine_for_test:small"))
    assert isinstance(loaded.model, nn.Sequential)
    assert (loaded.input_size, loaded.num_classes) == ((1, 8, 8), 7)


def test_a_reference_to_other_code_is_refused_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile_for_test.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef make(): ...")
    monkeypatch.setenv(VARIABLE, "mine_for_test:small")
    with pytest.raises(UserError, match="--model"):
        load_model(factory_ref("hostile_for_test:make"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine_for_test", "package.module:factory"),
        ("mine_for_test:absent", "absent"),
        ("nowhere_for_test:make", "nowhere_for_test"),
        ("mine_for_test:text", "str"),
        ("mine_for_test:broken", "no such disk"),
    ],
)
def test_what_is_wrong_is_said(name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(UserError, match=says):
        load_model(factory_ref(name))


def test_the_command_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert named_at_start(["app.py", "--model", "a.b:c"]) == "a.b:c"
    assert named_at_start(["app.py", "--model=a.b:c"]) == "a.b:c"
    assert named_at_start(["app.py"]) is None
