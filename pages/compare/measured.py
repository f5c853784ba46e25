"""What is measured of the networks of a tree: answers and time, the same images and batches for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pages.compare.tree import Node
from pages.ui import made, state
from pages.ui.changes import Change, paired
from pages.ui.desk import Desk
from pruning_core.graph import Cost
from pruning_core.measuring.answers import Answers, compared
from pruning_core.measuring.measures import Accuracy, Latency
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.studies.answers import Answered, AnswersRun
from pruning_core.studies.front import PASSES, batch_of
from pruning_core.studies.measure import LatencyRun
from pruning_core.zoo import ModelRef

AT_ONCE_MACS = 4e10  # measured without being asked: some seconds in all


@dataclass(frozen=True)
class Row:
    """One network with what is known of it; ``change`` is against the pinned one, None for itself."""

    node: Node
    cost: Cost
    accuracy: Accuracy | None
    answers: Answers | None
    latency: Latency | None
    change: Change | None = None


def runs(nodes: Sequence[Node], desk: Desk) -> list[RunSpec]:
    """Two for each network; a batch that suits the origin, so that times compare."""
    data, batch = made.tested(nodes[0].model, desk.data), batch_of(state.network(nodes[0].model).cost().macs)
    return [run for node in nodes for run in (AnswersRun(node.model, data), LatencyRun(node.model, batch, PASSES))]


def missing(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """What nobody has started yet."""
    return [spec for spec in specs if state.jobs().find(spec) is None]


def small(nodes: Sequence[Node], images: int) -> bool:
    """Whether all of it takes but seconds, so that nobody has to ask for it."""
    whole = state.network(nodes[0].model).cost().macs
    return whole * (images + PASSES * batch_of(whole)) * len(nodes) < AT_ONCE_MACS


def rows(nodes: Sequence[Node], desk: Desk, pinned: ModelRef) -> list[Row]:
    found, classes = [], state.loaded(nodes[0].model).num_classes
    specs = runs(nodes, desk)
    for at, node in enumerate(nodes):
        answered, latency = (
            _last(spec, kind) for spec, kind in ((specs[2 * at], Answered), (specs[2 * at + 1], Latency))
        )
        answers = made.answers_of(answered, classes) if isinstance(answered, Answered) else None
        accuracy = answered.accuracy if isinstance(answered, Answered) else None
        timed = latency if isinstance(latency, Latency) else None
        found.append(Row(node, state.network(node.model).cost(), accuracy, answers, timed))
    base = next((row.answers for row in found if row.node.model == pinned), None)
    return [_against(row, base, pinned) for row in found]


def _against(row: Row, base: Answers | None, pinned: ModelRef) -> Row:
    if base is None or row.answers is None or row.node.model == pinned:
        return row
    change = paired(compared(base, row.answers))
    return Row(row.node, row.cost, row.accuracy, row.answers, row.latency, change)


def _last(spec: RunSpec, kind: type) -> object | None:
    known = state.jobs().find(spec)
    if known is None or known.state is not State.DONE:
        return None
    return state.jobs().snapshot(known.id).last(kind)


def front(rows: Sequence[Row], axis: str) -> set[int]:
    """Which rows no other one beats: fewer of ``axis`` and no less accuracy."""
    known = [(at, value(row, axis), row.accuracy.top1) for at, row in enumerate(rows) if row.accuracy]
    return {
        at
        for at, cost, top1 in known
        if cost is not None
        and not any(
            other is not None and other <= cost and right >= top1 and (other, -right) != (cost, -top1)
            for _, other, right in known
        )
    }


def value(row: Row, axis: str) -> float | None:
    """``axis``: "macs", "parameters", "size_bytes" or "latency"."""
    if axis == "latency":
        return row.latency.median_ms if row.latency else None
    return float(getattr(row.cost, axis))
