"""A sensitivity sweep in pieces: the ranking is one, then some rows of the heatmap each."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from pruning_core.analysis.bisection import estimate
from pruning_core.analysis.rows import unpruned
from pruning_core.analysis.sensitivity import LeftOut, NotMended
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.runs.crew import Crew, Hands
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.piece import ALIVE, kept, quietly
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import digest
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.in_pieces import Ranked, RowsDone
from pruning_core.studies.scores import read_scores, write_scores
from pruning_core.studies.sensitivity import Ground, SensitivityRun, remark
from pruning_core.work import told

PER_WORKER = 3  # pieces: each runs the whole network once more, and with too few the last worker is waited for


@dataclass(frozen=True)
class SweepBasis(RunSpec):
    """The scores of ``whole``, what has no row, and the unpruned network."""

    kind: ClassVar[str] = "basis of a sweep"
    whole: SensitivityRun

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from quietly(self.whole.ground(workspace))
        without = set[str]()
        for event in self.whole.cells(ground, only=()):
            match event:
                case LeftOut():
                    without.add(event.key)
                    yield remark(event)
                case NotMended():
                    yield remark(event)
                case Accuracy():
                    yield event
                case _:
                    yield ALIVE
        scores = {key: each.double().cpu().numpy() for key, each in ground.scores.items()}
        yield Ranked(write_scores(workspace, scores), tuple(key for key in scores if key not in without))


@dataclass(frozen=True)
class SweepRows(RunSpec):
    """The rows of ``groups``; channels go in the order of the stored ``scores``, the same on every machine."""

    kind: ClassVar[str] = "rows of a sweep"
    whole: SensitivityRun
    scores: str
    groups: tuple[str, ...]

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from kept(digest((self.whole, self.scores)), lambda: self._ground(workspace))
        events = []
        for event in self.whole.cells(ground, only=self.groups):
            events.append(event)
            yield ALIVE
        yield from [event for event in events if isinstance(event, Accuracy)][-1:]
        yield from self.whole.keep(workspace, tuple(events))

    def _ground(self, workspace: Workspace) -> Generator[Event, None, Ground]:
        scores = {key: torch.as_tensor(each) for key, each in read_scores(workspace, self.scores).items()}
        return self.whole.ground(workspace, scores)


def spread_sweep(whole: SensitivityRun, workspace: Workspace, past: tuple[Event, ...], crew: Crew) -> Iterator[Event]:
    """The events of ``whole`` with its rows measured by ``crew``: in the end the very cells of a sweep in one go."""
    whole.check_recovery()
    with Hands(crew, workspace) as hands:
        size = yield from told(hands.reach(), lambda _: (Progress(0, 1, "cells"),))
        ranked = next((e for e in past if isinstance(e, Ranked) and workspace.artifacts.has(e.digest)), None)
        if ranked is None:
            yield Stage("ranking channels on another machine" if not crew.near else "ranking channels")
            ranked = yield from _basis(whole, hands)
        rows = _Rows(whole, ranked, past)
        for groups in dealt(rows.left, PER_WORKER * size):
            hands.give(SweepRows(whole, ranked.digest, groups))
        yield Stage("measuring")
        yield rows.progress()
        for found in hands.results():
            yield from rows.came(found[1]) if found else (rows.progress(),)
        yield from rows.ended()


def dealt(groups: Iterable[str], hands: int) -> tuple[tuple[str, ...], ...]:
    """In turns, as cards are: neighbours, which cost about the same, come to different hands."""
    groups = tuple(groups)
    return tuple(groups[start::hands] for start in range(min(hands, len(groups))))


def _basis(whole: SensitivityRun, hands: Hands) -> Generator[Event, None, Ranked]:
    for events in hands.one(SweepBasis(whole)):
        for event in events or (Progress(0, 1, "cells"),):
            yield event
            if isinstance(event, Ranked):
                ranked = event
    return ranked


class _Rows:
    """What has come back."""

    def __init__(self, whole: SensitivityRun, ranked: Ranked, past: tuple[Event, ...]) -> None:
        done = {key for e in past if isinstance(e, RowsDone) for key in e.groups}
        self.left = [key for key in ranked.groups if key not in done]
        self._whole, self._groups = whole, len(ranked.groups)
        self._base: Accuracy | None = None
        self._cells = {(e.group, e.ratio): e for e in past if isinstance(e, Cell) and e.group in done}

    def progress(self) -> Progress:
        return Progress(len(self._cells), self._groups * len(set(self._whole.ratios)), "cells")

    def came(self, events: tuple[Event, ...]) -> Iterator[Event]:
        for event in events:
            match event:
                case Accuracy():
                    if self._base is None or event.images > self._base.images:
                        self._base = event
                        yield event
                case Cell():
                    self._cells[event.group, event.ratio] = event
                    yield event
        yield RowsDone(tuple({e.group: None for e in events if isinstance(e, Cell)}))
        yield self.progress()

    def ended(self) -> Iterator[Event]:
        """Estimates beside the unpruned network, once more from all that was seen of it: as one sweep leaves them."""
        for cell in list(self._cells.values()):
            if self._base is None or not cell.estimated or cell.between is None or cell.between[0] != 0:
                continue
            right = self._cells.get((cell.group, cell.between[1]))
            if right is not None:
                again = estimate(unpruned(self._base), right, cell.ratio, cell.removed)
                yield replace(again, mended=cell.mended)
        yield replace(self.progress(), seconds_left=0.0)
