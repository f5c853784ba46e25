"""One rule for what is said of a difference: its interval decides, never its size."""

import re
from pathlib import Path

import pytest

from pages.ui import changes
from pruning_core.measuring.measures import Cell, Drop

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("drop", "low", "high", "colour"), [
    (0.011, -0.004, 0.026, "off"), (0.011, 0.002, 0.02, "normal"), (-0.03, -0.05, -0.01, "normal"),
    (-0.03, -0.07, 0.0, "off"),
])  # fmt: skip
def test_the_interval_decides(drop, low, high, colour):
    cell = Cell("g", 0.5, 1, 0.9, None, 100, 0.8, 1.0, drop, low, high, 3, 2, True, 0.1)
    for change in (changes.paired(Drop(drop, low, high, 3, 2, 100)), changes.of_cell(cell)):
        assert change.colour == colour and change.within_noise == (colour == "off") == cell.within_noise
        assert (changes.INSIDE in change.text) == (changes.INSIDE in change.verdict) == (colour == "off")
        assert change.difference == -drop and change.low <= change.difference <= change.high


def test_two_accuracies_that_overlap_widely_are_not_told_apart():
    assert changes.unpaired(known(0.80, 0.75, 0.85), known(0.78, 0.73, 0.83)).within_noise
    assert not changes.unpaired(known(0.80, 0.79, 0.81), known(0.70, 0.69, 0.71)).within_noise


def known(top1: float, low: float, high: float):
    return Cell("g", 0.5, 1, top1, None, 100, low, high, 0, 0, 0, 0, 0, True, 0.1)


def test_no_page_judges_a_difference_by_itself():
    own = re.compile(r"inside the noise of|outside the noise of|delta=numbers\.points|drop\.within_noise")
    judged = [path.name for path in (ROOT / "pages").rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert judged == ["changes.py"]
