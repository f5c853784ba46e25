"""A comparison of criteria in pieces: the scores of all are one, then every criterion by itself."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.runs.crew import Crew, Hands
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.piece import ALIVE, kept
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.compare import CompareRun, Comparison, Ground
from pruning_core.studies.points import ORIGIN, OutOfReach, Point, Scored, When
from pruning_core.studies.scores import Draw, draws, read_scores

UNPRUNED = -1  # stands for the network that no criterion has cut


@dataclass(frozen=True)
class ComparedScores(RunSpec):
    """What all criteria of ``whole`` say: one probe serves them."""

    kind: ClassVar[str] = "scores of a comparison"
    whole: CompareRun

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from _ground(self.whole, workspace)
        for event in self.whole.scored(ground, _draws(self.whole), workspace, ()):
            yield event if isinstance(event, Scored) else ALIVE


@dataclass(frozen=True)
class ComparedDraw(RunSpec):
    """All networks of the draw of this ``number``, cut by its stored ``scores``; or the unpruned one, by none."""

    kind: ClassVar[str] = "criterion of a comparison"
    whole: CompareRun
    number: int
    scores: str = ""

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from _ground(self.whole, workspace)
        if self.number == UNPRUNED:
            ground.base.clear()  # measured again, because it is asked for
        draw = None if self.number == UNPRUNED else _draws(self.whole)[self.number]
        scores = {} if draw is None else {draw: read_scores(workspace, self.scores)}
        for event in Comparison(self.whole, ground, scores, ()).run():
            match event:
                case Point(criterion=name) if (name == ORIGIN) == (draw is None):
                    yield event
                case OutOfReach():
                    yield event
                case _:
                    yield ALIVE


def spread_comparison(whole: CompareRun, workspace: Workspace, past: tuple[Event, ...], crew: Crew) -> Iterator[Event]:
    """The events of ``whole`` with its criteria done by ``crew``: the same points, times apart."""
    told = {_place(event) for event in past if isinstance(event, Point | OutOfReach)}
    with Hands(crew, workspace) as hands:
        for _ in hands.reach():
            yield _progress(whole, told)
        wanted, scored = _draws(whole), {(e.criterion, e.draw): e for e in past if isinstance(e, Scored)}
        if any((draw.label, draw.number) not in scored for draw in wanted):
            yield Stage("scoring channels")
            for found in hands.one(ComparedScores(whole)):
                for event in found or (_progress(whole, told),):
                    if isinstance(event, Scored):
                        scored[event.criterion, event.draw] = event
                    yield event
        pieces = [ComparedDraw(whole, n, scored[d.label, d.number].digest) for n, d in enumerate(wanted)]
        for piece in (ComparedDraw(whole, UNPRUNED), *pieces):
            if not _places(whole, piece.number) <= told:
                hands.give(piece)
        yield Stage("pruning and measuring")
        for come in hands.results():
            for event in come[1] if come else ():
                if isinstance(event, Point | OutOfReach) and _place(event) not in told:
                    told.add(_place(event))
                    yield event
            yield _progress(whole, told)


Place = tuple[str, int, float, str]


def _place(event: Point | OutOfReach) -> Place:
    return event.place if isinstance(event, Point) else (event.criterion, event.draw, event.budget, "")


def _places(whole: CompareRun, number: int) -> set[Place]:
    """All that a piece tells of where every budget can be kept to; else it is done again, and tells nothing new."""
    moments = [str(when) for when in whole.moments]
    if number == UNPRUNED:
        return {(ORIGIN, 0, 1.0, when) for when in moments if when in (str(When.PRUNED), str(When.TUNED))}
    draw = _draws(whole)[number]
    return {(draw.label, draw.number, budget, when) for budget in whole.budgets for when in moments}


def _progress(whole: CompareRun, told: set[Place]) -> Progress:
    return Progress(len(told), whole.points, "measurements")


def _draws(whole: CompareRun) -> tuple[Draw, ...]:
    return draws(whole.criteria, whole.random_seeds)


def _ground(whole: CompareRun, workspace: Workspace) -> Generator[Event, None, Ground]:
    return kept(whole.key, lambda: whole.ground(workspace))
