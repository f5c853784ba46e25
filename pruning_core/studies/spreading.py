"""Which runs are done in pieces by a crew, and what a worker does: the one task that it is ever given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial

from pruning_core.errors import UserError
from pruning_core.runs import piece
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.crew import Crew, Hands, Split
from pruning_core.runs.events import Event
from pruning_core.runs.piece import Asked, Brought
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.search import SearchRun, shared
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.spread_comparison import ComparedDraw, ComparedScores, spread_comparison
from pruning_core.studies.spread_search import JudgedPlan, spread_search
from pruning_core.studies.spread_sweep import SweepBasis, SweepRows, spread_sweep

OWN = (SweepBasis, SweepRows, ComparedScores, ComparedDraw, JudgedPlan)
PIECES = Catalogue((*PRODUCT.runs, *OWN), PRODUCT.values, PRODUCT.events)


def task(asked: Asked, *sent: bytes) -> Brought:
    """A piece, where it is done: see ``runs.piece.do``."""
    return piece.do(PIECES, asked, sent)


def split(spec: RunSpec) -> Split | None:
    """How ``spec`` is made of pieces. A stranger's program stays where it is shut in; so does what has no pieces."""
    match spec:
        case SensitivityRun(model=model) if not model.foreign:
            return partial(spread_sweep, spec)
        case CompareRun(model=model) if not model.foreign:
            return partial(spread_comparison, spec)
        case SearchRun(model=model) if not (model.foreign or shared(spec) or any(each.timed for each in spec.budgets)):
            return partial(spread_search, spec)
    return None


def several(
    specs: Iterable[RunSpec], workspace: Workspace, crew: Crew
) -> Iterator[tuple[RunSpec, tuple[Event, ...] | UserError]]:
    """Whole runs, each by one worker, in the order in which they end; the sentence of one that cannot be done.

    For matrices: every method on a network, under every seed.
    """
    with Hands(crew, workspace) as hands:
        for spec in specs:
            hands.give(spec)
        yield from (found for found in hands.ended() if found is not None)


def crew_of(open: Callable[[], Executor], size: int = 2) -> Crew:
    """A crew on this machine, of any executor whose workers can import this package and see the data directory."""
    return Crew(open, task, PIECES, split, lambda: size)
