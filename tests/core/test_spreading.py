"""Runs in pieces end as runs in one go, whoever does the pieces."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pruning_core.analysis.sensitivity import Fast
from pruning_core.datasets import DIGITS
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.crew import Crew
from pruning_core.runs.events import Event
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.spreading import crew_of
from pruning_core.zoo import DEMOS

SWEEP = SensitivityRun(
    DEMOS[0].ref, replace(DIGITS, split="held-out"), ratios=(0.3, 0.5, 0.6, 0.9), images=150, device="cpu"
)
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
    [SWEEP, replace(SWEEP, mode=Fast(0.05)), replace(SWEEP, recovery=Mending(images=64), ratios=(0.6,))],
    ids=["exact", "fast", "mended"],
)
def test_a_sweep_in_pieces_has_the_very_cells_of_one_in_one_go(spec: SensitivityRun, workspace: Workspace) -> None:
    alone = list(spec.run(workspace))
    with ThreadPoolExecutor(2) as threads:
        together = spread(spec, workspace, crew_of(lambda: threads))
    assert len(heatmap(alone)) >= 6 and heatmap(together) == heatmap(alone) and base(together) == base(alone)
