"""Runs in pieces end as runs in one go, whoever does the pieces."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.sampled import Nsga2, Tpe
from pruning_core.allocation.search import Search
from pruning_core.allocation.space import Explorer
from pruning_core.analysis.sensitivity import Fast
from pruning_core.criteria import L1Norm, Random, TaylorGate
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.methods.recoveries import Mending, NewStatistics
from pruning_core.runs.crew import Crew
from pruning_core.runs.events import Event
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies import spreading
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.in_pieces import RowsDone
from pruning_core.studies.method import MethodRun
from pruning_core.studies.points import OutOfReach, Point
from pruning_core.studies.search import SearchRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.spreading import crew_of
from pruning_core.studies.treated import Treated
from pruning_core.studies.tried import Finalist, Tried
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS, ModelRef

SWEEP = SensitivityRun(
    DEMOS[0].ref, replace(DIGITS, split="held-out"), ratios=(0.3, 0.5, 0.6, 0.9), images=150, device="cpu"
)
# Cells beside the unpruned network that are estimated: from as many images of it as the last row to end has seen.
ESTIMATED = replace(SWEEP, data=DIGITS, ratios=(0.1, 0.2, 0.3), images=450, mode=Fast(0.03))
pytestmark = pytest.mark.usefixtures("one_thread")


def spread(spec: RunSpec, workspace: Workspace, crew: Crew, past: tuple[Event, ...] = ()) -> list[Event]:
    how = crew.split(spec)
    assert how is not None
    return list(how(workspace, past, crew))


def heatmap(events: list[Event]) -> dict[tuple[str, float], Cell]:
    """The last state of every cell; what a clock says apart."""
    return {(e.group, e.ratio): replace(e, seconds=0.0) for e in events if isinstance(e, Cell)}


def base(events: list[Event]) -> Accuracy:
    return replace([e for e in events if isinstance(e, Accuracy)][-1], seconds=0.0)


@pytest.mark.parametrize(
    "spec",
    [SWEEP, replace(SWEEP, mode=Fast(0.05)), ESTIMATED, replace(SWEEP, recovery=Mending(images=64), ratios=(0.6,))],
    ids=["exact", "fast", "estimated", "mended"],
)
def test_a_sweep_in_pieces_has_the_very_cells_of_one_in_one_go(spec: SensitivityRun, workspace: Workspace) -> None:
    alone = list(spec.run(workspace))
    with ThreadPoolExecutor(2) as threads:
        together = spread(spec, workspace, crew_of(lambda: threads))
    assert len(heatmap(alone)) >= 6 and heatmap(together) == heatmap(alone) and base(together) == base(alone)


COMPARISON = CompareRun(
    DEMOS[0].ref, replace(DIGITS, split="held-out"), (L1Norm(), TaylorGate(), Random()), budgets=(0.6, 0.0001),
    random_seeds=1, images=100, score_images=64, calibration_images=64, latency=False,
    tune=FineTune(epochs=1, batch_size=256, device="cpu"), device="cpu",
)  # fmt: skip


def points(events: list[Event]) -> dict[object, Point]:
    return {e.place: replace(e, seconds=0.0) for e in events if isinstance(e, Point)}


def test_a_comparison_in_pieces_has_the_very_points_of_one_in_one_go(workspace: Workspace) -> None:
    alone = list(COMPARISON.run(workspace))
    with ThreadPoolExecutor(2) as threads:
        crew = crew_of(lambda: threads)
        together = spread(COMPARISON, workspace, crew)
        assert len(points(alone)) == COMPARISON.points - 3 * 3 == 11 and points(together) == points(alone)
        unreachable = [e for e in together if isinstance(e, OutOfReach)]
        assert len(unreachable) == 3 and set(unreachable) == {e for e in alone if isinstance(e, OutOfReach)}
        begun = COMPARISON.keep(workspace, tuple(together[: len(together) // 2]))
        rest = spread(COMPARISON, workspace, crew, begun)
    assert not points(list(begun)).keys() & points(rest).keys()
    assert points(list(begun)) | points(rest) == points(alone)


def test_a_stopped_sweep_goes_on_where_its_rows_end(workspace: Workspace) -> None:
    with ThreadPoolExecutor(2) as threads:
        crew = crew_of(lambda: threads)
        together = spread(SWEEP, workspace, crew)
        ends = [n for n, event in enumerate(together) if isinstance(event, RowsDone)]
        begun = SWEEP.keep(workspace, tuple(together[: ends[1] + 1]))
        rest = spread(SWEEP, workspace, crew, begun)
    assert 0 < len(heatmap(rest)) < len(heatmap(together)) and not heatmap(rest).keys() & heatmap(list(begun)).keys()
    assert heatmap(list(begun)) | heatmap(rest) == heatmap(together)
    by_itself = heatmap(list(SWEEP.run(workspace, begun)))
    assert heatmap(list(begun)) | by_itself == heatmap(together), "also where nobody helps any more"


def test_a_strangers_program_is_not_sent_to_workers() -> None:
    foreign = replace(SWEEP, model=ModelRef("upload", "net.pt2", weights="0" * 64, architecture="exported"))
    assert spreading.split(SWEEP) and spreading.split(foreign) is None
    assert spreading.split(replace(COMPARISON, model=foreign.model)) is None


@pytest.mark.parametrize("explorer", [Tpe(startup=3), Nsga2(population=4)], ids=lambda each: each.card.key)
def test_a_search_in_pieces_makes_the_very_trials_of_one_in_one_go(explorer: Explorer, workspace: Workspace) -> None:
    spec = SearchRun(
        DEMOS[0].ref, DIGITS, search=Search(explorer, trials=6), budgets=(Budget("macs", fraction=0.5),), images=60,
        recovery=NewStatistics(images=64), device="cpu",
    )  # fmt: skip
    alone = list(spec.run(workspace))
    with ThreadPoolExecutor(2) as threads:
        together = spread(spec, workspace, crew_of(lambda: threads))
    assert len(trials(alone)) == 12 and trials(together) == trials(alone)
    ends = [[replace(e, accuracy=replace(e.accuracy, seconds=0.0)) for e in events if isinstance(e, Finalist)]
            for events in (alone, together)]  # fmt: skip
    assert len(ends[0]) == 4 and ends[0] == ends[1]


def trials(events: list[Event]) -> list[Tried]:
    return [replace(e, trial=replace(e.trial, seconds=0.0)) for e in events if isinstance(e, Tried)]


def test_methods_in_a_matrix_end_in_the_very_weights_of_one_machine(workspace: Workspace, tmp_path: Path) -> None:
    config = FineTune(epochs=1, batch_size=256, device="cpu")
    half, none = Budget("macs", fraction=0.5), Budget("macs", fraction=0.00001)
    runs = [MethodRun(DEMOS[0].ref, DIGITS, budget=half, config=replace(config, seed=seed)) for seed in (0, 1)]
    hopeless = MethodRun(DEMOS[0].ref, DIGITS, budget=none, config=config)
    with ThreadPoolExecutor(2) as threads:
        found = dict(spreading.several([*runs, hopeless], workspace, crew_of(lambda: threads)))
    assert isinstance(found[hopeless], UserError)
    weights = {}
    for run in runs:
        events = found[run]
        assert not isinstance(events, UserError)
        (end,) = (event for event in events if isinstance(event, Treated))
        weights[run] = end.model.weights
        assert workspace.artifacts.has(weights[run]), "they came back"
    (alone,) = (e for e in runs[0].run(Workspace(tmp_path / "alone")) if isinstance(e, Treated))
    assert weights[runs[0]] == alone.model.weights != weights[runs[1]]
