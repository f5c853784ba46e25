"""Time against channels: which widths are timed, and that only what is no noise is called a step."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pruning_core.analysis import widths
from pruning_core.analysis.widths import Cliff, cliffs, difference
from pruning_core.errors import UserError
from pruning_core.runs.events import Progress
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.conditions import Condition, ConditionsRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.widths import Width, WidthsRun
from pruning_core.zoo import DEMOS, ModelRef

DEMO, LAYER = DEMOS[0].ref, "layer1.0.conv1"
ROUNDS = 60

pytestmark = pytest.mark.usefixtures("one_thread")


def timed(ms: dict[int, float], noise: float, apart: float = 0.0) -> dict[int, list[np.ndarray]]:
    """Two copies of each width, whose medians are ``apart``, with log-normal spread."""
    draw = np.random.default_rng(0)
    return {
        width: [(value + copy * apart) * np.exp(noise * draw.standard_normal(ROUNDS)) for copy in (0, 1)]
        for width, value in ms.items()
    }


BLOCKS = {width: 1.0 + 0.5 * (-(-width // 8)) for width in range(1, 33)}  # kernels of eight channels
LINE = {width: 1.0 + 0.0625 * width for width in range(1, 33)}  # from and to the same, evenly


def test_blocks_of_eight_are_found_where_they_end() -> None:
    found = cliffs(timed(BLOCKS, noise=0.01))
    assert [(each.fewer, each.more) for each in found] == [(8, 9), (16, 17), (24, 25)]
    assert all(each.low_ms <= 0.5 <= each.high_ms for each in found)


def test_an_even_line_has_no_step_and_noise_is_none() -> None:
    assert not cliffs(timed(LINE, noise=0.01))
    assert not cliffs(timed(BLOCKS, noise=0.5)), "steps that the noise hides are not marked"
    assert not cliffs(timed(dict.fromkeys(LINE, 1.0), noise=0.1)), "nor any of a time that does not change"


def test_fewer_channels_that_take_longer_are_a_step() -> None:
    found = cliffs(timed({**LINE, 15: 2.5}, noise=0.01))
    assert [(each.fewer, each.more, each.high_ms < 0) for each in found] == [(14, 15, False), (15, 16, True)]


def test_what_differs_between_copies_of_one_width_is_noise() -> None:
    assert len(cliffs(timed(BLOCKS, noise=0.01, apart=0.05))) == 3
    assert not cliffs(timed(BLOCKS, noise=0.01, apart=0.6))


def test_the_interval_holds_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    holds = 0
    for _ in range(400):
        low, high = difference([draw.standard_normal(60)], [draw.standard_normal(60) + 1.0])
        holds += low <= 1.0 <= high
    assert 0.93 <= holds / 400 <= 0.995
    with pytest.raises(ValueError, match="too few"):
        difference([np.zeros(4)], [np.ones(4)])


def test_all_widths_of_a_narrow_layer_and_the_neighbours_of_blocks_of_a_wide_one() -> None:
    assert widths.widths(5) == (1, 2, 3, 4, 5)
    assert widths.widths(64)[-5:] == (55, 56, 57, 63, 64) and widths.widths(64)[:4] == (1, 7, 8, 9)
    assert {127, 128, 129, 1024} <= set(widths.widths(1024))
    assert all(len(widths.widths(n)) <= widths.MOST + 2 and widths.widths(n)[-1] == n for n in range(1, 3000, 7))
    assert widths.evenly(16, 4) == (4, 8, 12, 16) and widths.evenly(2, 4) == (1, 2)


@pytest.mark.parametrize("whole", [False, True])
def test_a_layer_is_timed_at_every_width(workspace: Workspace, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.studies.widths.NETWORKS", 2)
    events = list(WidthsRun(DEMO, LAYER, whole=whole, rounds=30, device="cpu").run(workspace))
    found = [each for each in events if isinstance(each, Width)]
    assert [each.channels for each in found] == ([8, 16] if whole else list(range(1, 17)))
    shares = [each.macs / found[-1].macs for each in found]
    assert shares == sorted(shares) and (shares[0] == 1 / 16 or whole)
    assert found[-1].saved_low_ms == found[-1].saved_high_ms == 0.0
    assert all(each.latency.runs == 60 and each.saved_low_ms <= each.saved_high_ms for each in found)
    assert [(each.done, each.total) for each in events if isinstance(each, Progress)][-1] == (len(found) * 60,) * 2
    kept = [each for each in events if isinstance(each, Width | Cliff)]
    assert [PRODUCT.event(dump(each)) for each in kept] == kept


def test_a_layer_that_cannot_be_cut_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="Time the whole network"):
        list(WidthsRun(DEMO, "relu", device="cpu").run(workspace))
    with pytest.raises(UserError, match="Choose another layer"):
        list(WidthsRun(DEMO, "fc", whole=True, device="cpu").run(workspace))


def test_two_networks_under_every_condition_and_no_condition_twice(workspace: Workspace) -> None:
    cut = ModelRef("pruned", DEMO.name, base=DEMO, plan=json.dumps({LAYER: [0, 1]}))
    run = ConditionsRun(cut, DEMO, batches=(1, 2), threads=(1, 2), passes=3, device="cpu")
    before = torch.get_num_threads()
    found = [each for each in run.run(workspace) if isinstance(each, Condition)]
    assert torch.get_num_threads() == before
    assert [(each.batch_size, each.threads) for each in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for each in found:
        assert each.latency is not None and each.other is not None
        assert (each.latency.batch_size, each.latency.threads) == (each.batch_size, each.threads)
    again = [each for each in run.run(workspace, tuple(found[:3])) if isinstance(each, Condition)]
    assert [(each.batch_size, each.threads) for each in again] == [(2, 2)]


def test_what_cannot_be_compiled_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise UserError("No compiler.")

    monkeypatch.setattr("pruning_core.studies.conditions.compiled", refuses)
    run = ConditionsRun(DEMO, None, batches=(1,), compiles=(False, True), passes=3, device="cpu")
    as_it_is, compiled = [each for each in run.run(workspace) if isinstance(each, Condition)]
    assert as_it_is.latency is not None and not as_it_is.refused
    assert compiled.latency is None and compiled.refused == "No compiler."
