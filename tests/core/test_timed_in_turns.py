"""Times in turns: what is known too loosely says so, and is timed again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.measuring import beside
from pruning_core.measuring.beside import GOES, timed_in_turns
from pruning_core.measuring.medians import median_interval

MODULES = {"whole": nn.Identity(), "half": nn.Identity()}
X = torch.zeros(4, 1)
QUIET = {"whole": np.linspace(3.9, 4.1, 30), "half": np.linspace(1.95, 2.05, 30)}
LOUD = {"whole": np.concatenate([np.full(14, 4.0), np.linspace(9, 30, 16)]), "half": np.full(30, 2.0)}


@pytest.fixture
def goes(monkeypatch):
    """Times that come one go after the other."""
    left: list[dict[str, np.ndarray]] = []

    def turns(modules, x, rounds):
        yield 1.0
        return left.pop(0)

    monkeypatch.setattr(beside, "timing_in_turns", turns)
    return left


def test_a_share_is_paired_round_by_round(goes):
    goes.append(QUIET)
    found = timed_in_turns(MODULES, X)["half"]
    assert (found.share, found.low, found.high) == pytest.approx((0.5,) * 3), "both slow down alike"
    assert found.low_ms < found.median_ms < found.high_ms and not found.noisy and not found.unsure
    assert not goes


def test_what_is_noisy_is_timed_again_and_the_calmest_go_counts(goes):
    goes += [LOUD, QUIET]
    assert not timed_in_turns(MODULES, X)["whole"].noisy and not goes
    louder = {**LOUD, "whole": LOUD["whole"] ** 2}
    goes += [louder, LOUD, louder][:GOES]
    found = timed_in_turns(MODULES, X)
    assert found["whole"].noisy and found["whole"].high_ms < 30
    assert not found["half"].noisy and found["half"].unsure, "its own time is clear, its share of a noisy one is not"


def test_the_interval_of_a_median_holds_in_95_of_100():
    draw = np.random.default_rng(0)
    held = [
        low <= 1.0 <= high for low, high in (median_interval(draw.exponential(1 / np.log(2), 30)) for _ in range(2000))
    ]
    assert 0.94 < np.mean(held) < 0.985
