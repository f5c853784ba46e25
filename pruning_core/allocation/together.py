"""One search by several processes: its trials lie in a database that all of them reach (whatever SQLAlchemy speaks).

Each asks its own sampler, which has read what all have found so far, and hands in what it finds. So nobody tries the
same by plan, the trials are as many as were asked for in all, and what a seed gives alone it does not give here.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruning_core.allocation.budget import Budget, Kind
from pruning_core.allocation.latency import Measure, Running
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.sampled import Sampled
from pruning_core.allocation.search import Fitter, Objective, Search
from pruning_core.allocation.space import Draw, Space
from pruning_core.allocation.trial import Trial, on_front
from pruning_core.errors import UserError
from pruning_core.storage.codec import Codec, dump

if TYPE_CHECKING:
    import optuna

TRIAL, NOTE = "prunescope.trial", "prunescope.note"
ATTEMPTS = 4  # at opening the database
EVERY = 0.3  # seconds between two looks at what others are still doing
PATIENCE, LONGEST = 60.0, 20  # a trial is lost after so many seconds and so many times the slowest one's


@dataclass(frozen=True)
class Table:
    """Where a search's trials lie: ``url`` of a database as SQLAlchemy writes it, and the ``name`` of the search."""

    url: str
    name: str


@dataclass(frozen=True)
class Waiting:
    """Others are still trying; ``done`` trials have ended."""

    done: int


def searching_together(
    search: Search,
    pool: Pool,
    objective: Objective,
    budgets: Sequence[Budget],
    table: Table,
    *,
    measures: Mapping[Kind, Measure],
    note: Callable[[], str],
    heard: Callable[[str], None],
    past: Sequence[Trial] = (),
    whole: float = 1.0,
) -> Running[tuple[Trial, ...]]:
    """As :func:`~.search.searching`, with whoever else searches in the same ``table``: yields the trials of all.

    ``note()`` is kept beside each trial made here; ``heard`` is told the note of each made elsewhere, before it is
    yielded. Trials of ``past`` are not yielded again. A process that ends leaves its trial to the others, which take it
    for lost after a while. Raises UserError where the database cannot be opened, and as ``searching`` does.
    """
    explorer = search.explorer
    assert isinstance(explorer, Sampled)
    space = Space(pool, search.least, search.trials, tuple(budgets), whole)
    fitter = Fitter(space, measures)
    yield from fitter.prepare()
    shared = _Shared(explorer, space, table)
    trials = list(past)
    known = {trial.number for trial in past}
    while True:
        over = not shared.others()  # asked before reading, so that what ends in between is read the next time
        for theirs, remark in shared.ended(known):
            heard(remark)
            trials.append(dataclasses.replace(theirs, front=on_front((*trials, theirs))[-1]))
            known.add(theirs.number)
            yield trials[-1]
        asked = shared.ask()
        if asked is None:
            if over:
                return tuple(trials)
            yield Waiting(len(trials))
            time.sleep(EVERY)
            continue
        try:
            draw = Draw(tuple(asked.params[key] for key in space.keys))
            trial = yield from fitter.tried(draw, asked.number, objective)
            shared.tell(asked, trial, note())
        except BaseException:
            shared.drop(asked)
            raise
        trials.append(dataclasses.replace(trial, front=on_front((*trials, trial))[-1]))
        known.add(trial.number)
        yield trials[-1]


class _Shared:
    """The study in the database."""

    def __init__(self, explorer: Sampled, space: Space, table: Table) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        self._goals = [up] if space.budgeted else [up, down]
        for attempt in range(ATTEMPTS):
            try:
                self._study = optuna.create_study(
                    storage=table.url, study_name=table.name, directions=self._goals, load_if_exists=True,
                    sampler=explorer.sampler(secrets.randbelow(1 << 31)),  # with one seed all would draw the same
                )  # fmt: skip
                self._study.enqueue_trial(dict.fromkeys(space.keys, 1.0), skip_if_exists=True)
                break
            except Exception as error:  # a driver's own; the address is not repeated, it may hold a password
                if attempt == ATTEMPTS - 1:
                    raise UserError(
                        f"The database of searches cannot be opened ({type(error).__name__}). Check "
                        "PRUNESCOPE_SEARCH_STORAGE and that its driver is installed, then start the search again."
                    ) from error
                time.sleep(EVERY)  # another process may be making its tables
        self._since: dict[int, float] = {}  # when a trial of another was first seen unfinished

    def ask(self) -> optuna.Trial | None:
        """The next trial to make; None where as many as were asked for are made or being made."""
        import optuna

        if len(self._begun()) >= self._space.trials:
            return None
        shares: dict[str, optuna.distributions.BaseDistribution] = {
            key: optuna.distributions.FloatDistribution(self._space.least, 1.0) for key in self._space.keys
        }
        asked = self._study.ask(shares)
        if sum(each.number < asked.number for each in self._begun()) >= self._space.trials:
            self.drop(asked)  # another was quicker
            return None
        return asked

    def tell(self, asked: optuna.Trial, trial: Trial, note: str) -> None:
        # without the plan, which follows from the ratios: some databases hold no more than 64 KiB in one place
        asked.set_user_attr(TRIAL, dump(dataclasses.replace(trial, plan={})))
        asked.set_user_attr(NOTE, note)
        self._study.tell(asked, [trial.accuracy, trial.macs][: len(self._goals)], skip_if_finished=True)

    def drop(self, asked: optuna.Trial) -> None:
        import optuna

        self._study.tell(asked, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)

    def ended(self, known: set[int]) -> Iterator[tuple[Trial, str]]:
        """Trials that are not ``known`` here, with their notes."""
        pool, codec = self._space.pool, Codec((Trial,))
        for each in self._finished():
            if each.number not in known and TRIAL in each.user_attrs:
                trial: Trial = codec.load(each.user_attrs[TRIAL])
                counts = {key: round(ratio * pool.size[key]) for key, ratio in trial.ratios.items()}
                yield dataclasses.replace(trial, plan=dict(pool.plan(counts))), str(each.user_attrs.get(NOTE, ""))

    def others(self) -> bool:
        """Whether anybody is still trying. Who has tried for very long is taken for gone, so that another may."""
        import optuna

        now, running = time.monotonic(), [each for each in self._begun() if not each.state.is_finished()]
        slowest = max((each.duration.total_seconds() for each in self._finished() if each.duration), default=0.0)
        for each in running:
            if now - self._since.setdefault(each.number, now) > max(PATIENCE, LONGEST * slowest):
                self._study.tell(each.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
        return bool(running) or len(self._finished()) < self._space.trials

    def _begun(self) -> list[optuna.trial.FrozenTrial]:
        import optuna

        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING)
        return self._study.get_trials(deepcopy=False, states=states)

    def _finished(self) -> list[optuna.trial.FrozenTrial]:
        import optuna

        return self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
