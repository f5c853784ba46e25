"""A search in pieces: the trials that it will make whatever others turn out to be worth are made at the same time.

Which those are is the explorer's to say: all of random widths, a generation, the random ones before it learns. The
search itself goes on here as ever and finds their results there, so its trials are the same ones in the same order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pruning_core.allocation.search import foreseen
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.crew import Crew, Hands
from pruning_core.runs.events import Event, Progress
from pruning_core.runs.piece import kept, quietly
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import digest
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.scores import read_scores, write_scores
from pruning_core.studies.search import Contest, Ground, SearchRun
from pruning_core.work import told


@dataclass(frozen=True)
class JudgedPlan(RunSpec):
    """One trial of ``whole``: the accuracy of a plan, on the held-out images."""

    kind: ClassVar[str] = "plan of a search"
    whole: SearchRun
    scores: str
    plan: str

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from kept(digest((self.whole, self.scores)), lambda: self._ground(workspace))
        yield (yield from quietly(Contest(self.whole, ground, ()).judged(Plan.from_json(self.plan))))

    def _ground(self, workspace: Workspace) -> Generator[Event, None, Ground]:
        scores = {key: torch.as_tensor(each) for key, each in read_scores(workspace, self.scores).items()}
        return self.whole.ground(workspace, scores)


def spread_search(whole: SearchRun, workspace: Workspace, past: tuple[Event, ...], crew: Crew) -> Iterator[Event]:
    """The events of ``whole`` with its trials made by ``crew``; the best of them are tested here, in the end."""
    ground = yield from whole.ground(workspace)
    scores = write_scores(workspace, dict(ground.pool.values))
    with Hands(crew, workspace) as hands:
        size = yield from told(hands.reach(), lambda _: (Progress(0, 1, "trials"),))
        yield from _Spread(whole, ground, past, hands=hands, scores=scores, size=size).run()


@dataclass
class _Spread(Contest):
    hands: Hands = field(kw_only=True)
    scores: str = field(kw_only=True)
    size: int = field(kw_only=True)
    known: dict[JudgedPlan, Accuracy] = field(default_factory=dict)
    given: set[JudgedPlan] = field(default_factory=set)

    def judged(self, plan: Plan) -> Generator[Event, None, Accuracy]:
        asked = self._piece(plan)
        self._give(asked)
        if len(self.given) - len(self.known) < self.size:
            self._look_ahead()
        if asked not in self.known:
            for found in self.hands.results():
                if found is not None:
                    piece, (accuracy,) = found
                    assert isinstance(piece, JudgedPlan) and isinstance(accuracy, Accuracy)
                    self.known[piece] = accuracy
                if asked in self.known:
                    break
                yield from self._alive()
        return self.known[asked]

    def _look_ahead(self) -> None:
        for key, trials in self.trials.items():
            search, budgets = self._search(key), self.spec.budgets
            for plan in foreseen(search, self.pool, budgets, trials, 2 * self.size, self.whole):
                self._give(self._piece(plan))

    def _give(self, piece: JudgedPlan) -> None:
        self.given.add(piece)
        self.hands.give(piece)

    def _piece(self, plan: Plan) -> JudgedPlan:
        return JudgedPlan(self.spec, self.scores, plan.to_json())
