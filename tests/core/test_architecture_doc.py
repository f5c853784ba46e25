"""What the documentation says of the house is what the tests hold."""

from __future__ import annotations

import re
from pathlib import Path

from tests.core.test_floors import FLOORS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def floors(text: str) -> list[tuple[str, ...]]:
    rows = re.findall(r"^\| [a-z ]+ \| ((?:`[\w.]+`(?:, )?)+) \|", text, re.M)
    return [tuple(re.findall(r"`([\w.]+)`", row)) for row in rows]


def test_the_floors_are_those_of_the_test() -> None:
    assert floors(TEXT) == [tuple(floor) for floor in FLOORS]
    assert floors(TEXT.replace("`export`", "`exports`")) != [tuple(floor) for floor in FLOORS]


def test_every_path_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", TEXT))
    assert len(named) > 8
    missing = {name for name in named if not any((ROOT / top / name).exists() for top in ("", "pruning_core"))}
    assert not missing
