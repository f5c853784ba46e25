"""Which cells the fast sweep measures, which it estimates, and how it goes on after a stop."""

from dataclasses import replace

import pytest
import torch

from pruning_core.analysis.bisection import Gap, errors, estimate, gaps, straight, unlike
from pruning_core.analysis.rows import ENOUGH, Row
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.measuring.registry import BY_KEY
from pruning_core.runs.events import Progress
from pruning_core.studies.sensitivity import _with_progress

BASE = Accuracy(0.9, None, 0.1, 128, 0.85, 0.95, 512, "data", 1.0)
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def cell(ratio: float, drop: float, images: int = 128, between: tuple[float, float] | None = None) -> Cell:
    return Cell("g", ratio, round(20 * ratio), 0.9 - drop, None, images, 0.8 - drop, 0.95 - drop, drop,
                drop - 0.02, drop + 0.02, 4, 2, False, 0.1, between=between)  # fmt: skip


def row(
    *, alike: float | None = 0.02, checked: bool = False, tolerance: float = 0.02, past: tuple[Cell, ...] = ()
) -> Row:
    return Row.of("g", 20, RATIOS, past, total=512, tolerance=tolerance, alike=alike, checked=checked)


def run(of: Row, accuracy: dict[float, float], start: int = 0, images: int = 128) -> list[float]:
    """One batch, its first images right, as many as ``accuracy`` says; returns the ratios asked for, in order."""
    labels = torch.zeros(images, dtype=torch.int64)
    asked = []
    while waiting := of.unseen(start):
        for count in waiting:
            wrong = torch.arange(images) >= round(images * accuracy[count.ratio])
            count.add(torch.stack([~wrong, wrong], 1).float(), labels, torch.ones(images, dtype=torch.bool))
            of.settle(count)
            asked.append(count.ratio)
    return asked


def test_gaps_are_what_lies_between_measured_cells():
    assert gaps([8]) == [Gap(-1, 8)] and list(Gap(-1, 8).inside) == [0, 1, 2, 3, 4, 5, 6, 7] and Gap(-1, 8).middle == 3
    assert gaps([0, 1, 4, 8]) == [Gap(1, 4), Gap(4, 8)]
    assert gaps(range(9)) == []


def test_only_where_drops_differ_the_middle_is_measured():
    assert unlike({8: 0.01}, 0.02) == []
    assert unlike({8: 0.5}, 0.02) == [3]
    assert unlike({8: 0.5, 3: 0.01}, 0.02) == [5]
    assert unlike({8: 0.1, 3: -0.1}, 0.05) == [1, 5]


def test_a_flat_row_is_measured_at_its_end_only():
    flat = row()
    assert run(flat, dict.fromkeys(RATIOS, 1.0)) == [0.9]
    estimated = list(flat.estimates(BASE))
    assert [e.ratio for e in estimated] == list(RATIOS[:-1])
    assert all(e.estimated and e.between == (0.0, 0.9) and e.drop == 0 for e in estimated)
    assert flat.finished


def test_a_cliff_is_found_by_halving():
    steep = row()
    accuracy = {ratio: 1.0 if ratio < 0.65 else 0.3 for ratio in RATIOS}
    assert run(steep, accuracy) == [0.9, 0.4, 0.6, 0.7]
    assert {e.ratio: e.between for e in steep.estimates(BASE)} == {
        0.1: (0.0, 0.4), 0.2: (0.0, 0.4), 0.3: (0.0, 0.4), 0.5: (0.4, 0.6), 0.8: (0.7, 0.9),
    }  # fmt: skip


def test_few_images_decide_nothing():
    steep = row()
    accuracy = dict.fromkeys(RATIOS, 0.2)
    assert run(steep, accuracy, 0, ENOUGH - 1) == [0.9]
    assert run(steep, accuracy, ENOUGH - 1, 64) == [0.9, 0.4, 0.2, 0.1]
    opened_late = steep.counts[3]
    assert (opened_late.skipped, opened_late.images, opened_late.place) == (ENOUGH - 1, 64, ENOUGH + 63)


def test_an_exact_row_measures_everything_at_once():
    assert run(row(alike=None, tolerance=-1), dict.fromkeys(RATIOS, 1.0)) == list(RATIOS)


def test_one_estimate_is_checked_and_tells_how_far_off_it_was():
    flat = row(checked=True)
    accuracy = dict.fromkeys(RATIOS, 1.0) | {0.4: 1 - 2 / 128}
    assert run(flat, accuracy) == [0.9, 0.4]
    measured = [c.cell("g", 512, exact=False) for c in flat.counts if c.images]
    assert [c.between for c in measured] == [(0.0, 0.9), None]
    assert errors(measured) == [pytest.approx(2 / 128)]
    assert errors([*measured, *flat.estimates(BASE)]) == errors(measured)  # estimates check nothing
    assert errors(measured[:1]) == []  # its end is not known


def test_an_estimate_lies_on_the_line_and_its_intervals_cover_both_ends():
    assert straight(0.3, (0.1, 0.5), (0.0, 0.4)) == pytest.approx(0.2)
    left, right = cell(0.2, 0.01), cell(0.6, 0.03)
    found = estimate(left, right, 0.3, 6)
    assert found.drop == pytest.approx(0.015) and found.top1 == pytest.approx(0.885)
    assert (found.drop_low, found.drop_high) == (left.drop_low, right.drop_high)
    assert (found.low, found.high) == (right.low, left.high)
    assert found.images == found.lost == found.gained == 0 and not found.exact


def test_a_stopped_row_goes_on_and_estimates_are_no_past():
    steep = row(checked=True)
    accuracy = {ratio: 1.0 if ratio < 0.65 else 0.3 for ratio in RATIOS}
    asked = run(steep, accuracy)
    past = (*(c.cell("g", 512, exact=False) for c in steep.counts if c.images), *steep.estimates(BASE))
    again = row(checked=True, past=past)
    assert [replace(c, seconds=0) for c in again.counts] == [replace(c, seconds=0) for c in steep.counts]
    assert {c.ratio for c in again.counts if c.open} == set(asked)
    assert run(again, accuracy, 128) == run(steep, accuracy, 128) == [0.7, 0.9]


@pytest.mark.parametrize(("seen", "opens"), [(200, True), (300, False)])
def test_nothing_is_opened_that_could_see_few_images_only(seen, opens):
    late = row(tolerance=0.001)
    assert run(late, dict.fromkeys(RATIOS, 1.0), 0, seen) == [0.9]
    assert run(late, dict.fromkeys(RATIOS, 0.2), seen, 100)[:2] == ([0.9, 0.4] if opens else [0.9])


@pytest.mark.parametrize("foreseen", [True, False])
def test_only_an_exact_sweep_says_how_long_it_will_take(foreseen, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("pruning_core.studies.sensitivity.time.monotonic", lambda: float(next(clock)))
    told = list(_with_progress(iter([cell(0.9, 0.0), cell(0.5, 0.0)]), 9, 512, (), foreseen=foreseen))
    under_way = [event.seconds_left for event in told if isinstance(event, Progress)][:-1]
    assert len(under_way) == 2 and all((left is not None) == foreseen for left in under_way)


@pytest.mark.parametrize("unit", (1.0, 1000.0))
def test_numbers_are_narrow_enough_in_any_unit(unit):
    generator, mae = torch.Generator().manual_seed(0), BY_KEY["mae"]
    wanted = unit * torch.randn(256, 4, generator=generator)
    given, worse = (wanted + unit * share * torch.randn(256, 4, generator=generator) for share in (0.1, 0.2))
    for tolerance, narrow in ((0.001, False), (0.02, True)):
        of = Row.of("g", 20, RATIOS, (), total=512, tolerance=tolerance, alike=None, checked=False, measure=mae,
                    whole=mae.whole(wanted))  # fmt: skip
        count = of.counts[-1]
        count.add(worse, wanted, mae.rows(given, wanted))
        of.settle(count)
        assert count.settled is narrow, "an interval is a share of what the targets differ by"
