"""What is measured of the networks of a tree: answers and time, the same images and batches for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pages.compare.tree import Node
from pages.ui import made, measured, state
from pages.ui.changes import Change, paired
from pages.ui.language import N_
from pruning_core.datasets import DataRef
from pruning_core.graph import Cost
from pruning_core.measuring.answers import Answers
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import Accuracy, Latency
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.studies.answers import Answered, AnswersRun, read_marks
from pruning_core.studies.front import PASSES, batch_of
from pruning_core.studies.measure import LatencyRun
from pruning_core.zoo import ModelRef

SAME = N_("Both are the same network. Choose another one above.")
AT_ONCE_MACS = 4e10  # measured without being asked: some seconds in all


@dataclass(frozen=True)
class Row:
    """One network with what is known of it; ``change`` is against the pinned one, None for itself.

    ``marks``: what each image adds to the measure. ``answers`` only where they are right or wrong.
    """

    node: Node
    cost: Cost
    accuracy: Accuracy | None
    marks: Marks | None
    latency: Latency | None
    answers: Answers | None = None
    change: Change | None = None


def runs(nodes: Sequence[Node], data: DataRef) -> list[RunSpec]:
    """Two for each network; a batch that suits the origin, so that times compare."""
    batch = batch_of(state.network(nodes[0].model).cost().macs)
    return [run for node in nodes for run in (AnswersRun(node.model, data), LatencyRun(node.model, batch, PASSES))]


def missing(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """What nobody has started yet."""
    return [spec for spec in specs if state.jobs().find(spec) is None]


def small(nodes: Sequence[Node], images: int) -> bool:
    """Whether all of it takes but seconds, so that nobody has to ask for it."""
    whole = state.network(nodes[0].model).cost().macs
    return whole * (images + PASSES * batch_of(whole)) * len(nodes) < AT_ONCE_MACS


def rows(nodes: Sequence[Node], data: DataRef, pinned: ModelRef) -> list[Row]:
    specs = runs(nodes, data)
    found = [_row(node, *specs[2 * at : 2 * at + 2]) for at, node in enumerate(nodes)]
    base = next((row.marks for row in found if row.node.model == pinned), None)
    return [_against(row, base, pinned) for row in found]


def _row(node: Node, answering: RunSpec, timing: RunSpec) -> Row:
    answered, latency = _last(answering, Answered), _last(timing, Latency)
    cost, timed = state.network(node.model).cost(), latency if isinstance(latency, Latency) else None
    if not isinstance(answered, Answered):
        return Row(node, cost, None, None, timed)
    if not answered.of_classes:
        return Row(node, cost, answered.accuracy, read_marks(state.workspace(), answered), timed)
    answers = made.answers_of(answered, state.loaded(node.model).num_classes)
    return Row(node, cost, answered.accuracy, answers.marks, timed, answers)


def _against(row: Row, base: Marks | None, pinned: ModelRef) -> Row:
    if base is None or row.marks is None or row.node.model == pinned:
        return row
    return replace(row, change=paired(base.drop(row.marks)))


def _last(spec: RunSpec, kind: type) -> object | None:
    known = state.jobs().find(spec)
    if known is None or known.state is not State.DONE:
        return None
    return state.jobs().snapshot(known.id).last(kind)


def front(rows: Sequence[Row], axis: str) -> set[int]:
    """Which rows no other one beats: less of ``axis`` and worth no less by the measure."""
    known = [(at, value(row, axis), _worth(row.accuracy)) for at, row in enumerate(rows) if row.accuracy]
    return {
        at
        for at, cost, worth in known
        if cost is not None
        and not any(
            other is not None and other <= cost and best >= worth and (other, -best) != (cost, -worth)
            for place, other, best in known
        )
    }


def _worth(accuracy: Accuracy) -> float:
    """So that more is better."""
    return measured.measure(accuracy.measure).better(accuracy.top1)


def value(row: Row, axis: str) -> float | None:
    """``axis``: "macs", "parameters", "size_bytes" or "latency"."""
    if axis == "latency":
        return row.latency.median_ms if row.latency else None
    return float(getattr(row.cost, axis))
