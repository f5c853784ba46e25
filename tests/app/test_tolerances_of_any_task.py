"""What-if's tolerance is a share of what counts as a whole, in whatever unit the sweep was measured."""

from types import SimpleNamespace

import pytest

from pages.ui.sweeps import drops, shares
from pruning_core.measuring.measures import Accuracy, Cell


def sweep(whole, *lost):
    """A run whose events are the unpruned network's and a cell for each of ``lost``, at ratios 0.1, 0.2, …"""
    first = Accuracy(1.0, None, 0.0, 8, 0.9, 1.1, 8, "them", 0.0, "mse", whole)
    cells = [
        Cell("a", at / 10, at, 1.0, None, 8, 0, 0, drop, 0, 0, 0, 0, True, 0.0, measure="mse")
        for at, drop in enumerate(lost, 1)
    ]
    return SimpleNamespace(all=lambda kind: cells, last=lambda kind: first)


def test_drops_in_a_unit_of_their_own_become_shares():
    found = sweep(40.0, 1.0, 8.0)
    assert drops(found) == {"a": [(0.1, 1.0), (0.2, 8.0)]}
    assert shares(found) == {"a": [(0.1, pytest.approx(0.025)), (0.2, pytest.approx(0.2))]}
    assert shares(sweep(1.0, 0.5)) == drops(sweep(1.0, 0.5)) and shares(None) == {}
