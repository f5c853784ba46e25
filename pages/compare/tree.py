"""Every network that the visitor's runs have made, and from which it was made by what. No widgets here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pages.ui import standing, started, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import numbered
from pages.ui.numbers import percent
from pruning_core.errors import clip
from pruning_core.graph import Plan
from pruning_core.runs.events import Artifact
from pruning_core.studies.fine_tune import PRUNED, FineTuneRun
from pruning_core.studies.front import FrontPoint, FrontRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.method import MethodRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk
from pruning_core.studies.treated import Treated
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

MOST = 40  # networks of one family
WAYS = {SCHEDULED: N_("in steps"), AT_ONCE: N_("at once")}


@dataclass(frozen=True)
class Made:
    """``parent`` became ``model`` by ``operation``: the edge of the tree."""

    model: ModelRef
    parent: ModelRef
    operation: str


@dataclass(frozen=True)
class Node:
    """One network; ``depth`` edges below the origin, which has no parent. ``row`` is its place from the top."""

    model: ModelRef
    parent: ModelRef | None
    operation: str
    label: str
    depth: int
    row: int


def families(desk: Desk) -> dict[ModelRef, tuple[Node, ...]]:
    """The tree of every network that anything was made from, that on the desk first."""
    edges: dict[ModelRef, Made] = {}
    for each in (*_made(), *_chain(desk.model)):
        edges.setdefault(each.model, each)
    origins = [desk.model.origin, *(each.model.origin for each in edges.values())]
    return {origin: _tree(origin, edges) for origin in dict.fromkeys(origins)}


def _made() -> Iterator[Made]:
    """From the runs that came to their end, oldest first, so that a network keeps its number."""
    yield from reversed([*_cuts(), *_fronts(), *_tunings(), *_steps(), *_methods()])


def _cuts() -> Iterator[Made]:
    for view, spec in started.mine(PruneRun, lambda spec: spec.data.split == "test"):
        if (found := state.jobs().snapshot(view.id).last(Pruned)) is None:
            continue
        if found.recovered is not None:  # before the cut: the list is turned round
            yield Made(found.recovered.model, found.model, _recovered(found.recovered.trained))
        yield Made(found.model, spec.model, _("cut"))


def _recovered(trained: bool) -> str:
    return _("mended") if trained else _("new statistics")


def _fronts() -> Iterator[Made]:
    for view, spec in started.mine(FrontRun, lambda spec: True):
        for point in reversed(state.jobs().snapshot(view.id).all(FrontPoint)):
            if point.model != spec.model:
                yield Made(point.model, spec.model, _("cut and mended"))


def _tunings() -> Iterator[Made]:
    for view, spec in started.mine(FineTuneRun, lambda spec: spec.model.base is not None):
        for kept in state.jobs().snapshot(view.id).all(Artifact):
            # The weights from before may be the best ones: then nothing was made.
            if kept.name == f"{PRUNED} weights" and kept.digest != spec.model.weights:
                yield Made(replace(spec.model, weights=kept.digest), spec.model, _("tuned"))


def _steps() -> Iterator[Made]:
    for view, spec in started.mine(GradualRun, lambda spec: True):
        seen = state.jobs().snapshot(view.id)
        last = {each.way: each for each in seen.all(Reached)}
        shrunk = {(each.way, each.step): each for each in seen.all(Shrunk)}
        for way, reached in last.items():
            if cut := shrunk.get((way, reached.step)):
                yield Made(
                    spec.reference(cut, reached), spec.model, _("cut and trained {way}").format(way=_(WAYS[way]))
                )


def _methods() -> Iterator[Made]:
    for view, spec in started.mine(MethodRun, lambda spec: True):
        if (found := state.jobs().snapshot(view.id).last(Treated)) is not None:
            yield Made(found.model, spec.model, clip(said(spec.method.card.name), 40))


def _chain(ref: ModelRef) -> Iterator[Made]:
    """A network of another visitor's runs, or of a link: what is known of it is in its reference."""
    while ref.base is not None:
        yield Made(ref, ref.base, _(standing.made(ref)))
        ref = ref.base


def _tree(origin: ModelRef, edges: dict[ModelRef, Made]) -> tuple[Node, ...]:
    children: dict[ModelRef, list[Made]] = {}
    for each in edges.values():
        children.setdefault(each.parent, []).append(each)
    found: list[tuple[ModelRef, ModelRef | None, str, int]] = []

    def walk(ref: ModelRef, parent: ModelRef | None, operation: str, depth: int) -> None:
        if len(found) >= MOST or any(ref == each[0] for each in found):
            return
        found.append((ref, parent, operation, depth))
        for child in children.get(ref, []):
            walk(child.model, ref, child.operation, depth + 1)

    walk(origin, None, "", 0)
    labels = numbered(_label(ref, origin, operation) for ref, parent, operation, depth in found)
    return tuple(
        Node(ref, parent, operation, label, depth, row)
        for row, ((ref, parent, operation, depth), label) in enumerate(zip(found, labels, strict=True))
    )


def _label(ref: ModelRef, origin: ModelRef, operation: str) -> str:
    if ref == origin:
        return clip(called(origin), 48)
    whole, own = state.network(origin).cost().macs, _macs(ref)
    return _("{operation}, {percent} of the MACs").format(operation=operation, percent=percent(own / max(1, whole), 0))


def _macs(ref: ModelRef) -> int:
    """Of one that was cut, from the plan alone where that is quick: the network need not be built."""
    if ref.source == "pruned" and ref.base is not None:
        return state.network(ref.base).cost(Plan.from_json(ref.plan)).macs
    return state.network(ref).cost().macs
