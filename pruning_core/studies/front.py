"""One network cut to several budgets as a run: what each size costs in accuracy, with its networks and answers."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.measures import Drop, Latency
from pruning_core.methods.ranking import ranked
from pruning_core.methods.recoveries import Mending, Recovery
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.answers import Answered, AnswersRun, worse
from pruning_core.studies.inputs import fit_sample, the_model
from pruning_core.studies.measure import LatencyRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import captured
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

SHARES = (0.85, 0.7, 0.55, 0.4, 0.3, 0.2)
PASSES = 60  # timed for each size
LARGEST_BATCH, PASS_MACS = 64, 2e9  # one timed pass: a batch large enough that more than overhead is timed


@dataclass(frozen=True)
class FrontPoint:
    """``model`` keeps at most ``share`` of the MACs; the network that was begun with has the share 1.

    ``drop`` is paired against that one, on the same images; None for itself. ``plan`` is JSON, in its units.
    """

    share: float
    model: ModelRef
    plan: str
    cost: Cost
    answered: Answered
    latency: Latency
    drop: Drop | None


@dataclass(frozen=True)
class FrontRun(RunSpec):
    """Cut ``model`` by ``criterion`` to each of ``shares`` of its MACs, the same ratio everywhere; then ``recovery``.

    One ``FrontPoint`` for the network as it is and one for each share, all on the split that ``data`` names. Shares
    out of reach are said and left out.
    """

    kind: ClassVar[str] = "front"
    model: ModelRef
    data: DataRef
    criterion: Criterion = field(default_factory=L1Norm)
    recovery: Recovery = field(default_factory=Mending)
    shares: tuple[float, ...] = SHARES
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"{called(self.model)} at {len(self.shares)} sizes"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        network = captured(loaded)
        images = None
        if self.criterion.needs_images:
            images = yield from fit_sample(self.data, loaded, workspace, seed=self.seed)
        scores = yield from ranked(loaded.model, network, self.criterion, images, self.seed)
        known = {event.share for event in past if isinstance(event, FrontPoint)}
        batch, clock = batch_of(network.cost().macs), _Clock(1 + len(self.shares))
        yield clock.progress()
        before = yield from self._answered(self.model, workspace, clock)
        if 1.0 not in known:
            latency = yield from self._timed(self.model, batch, workspace, clock)
            yield FrontPoint(1.0, self.model, Plan().to_json(), network.cost(), before, latency, None)
        for share in sorted(self.shares, reverse=True):
            clock.next()
            if share in known:
                continue
            try:
                plan = allocate(Uniform(), Pool.of(network, scores), Budget("macs", fraction=share)).plan
            except UserError as error:
                yield Stage(f"{share:.0%} of the MACs: {error}")
                continue
            found = yield from self._cut(plan, workspace, clock)
            model = found.recovered.model if found.recovered else found.model
            after = yield from self._answered(model, workspace, clock)
            drop = worse(workspace, before, after, loaded.num_classes)
            latency = yield from self._timed(model, batch, workspace, clock)
            yield FrontPoint(share, model, plan.to_json(), found.after.cost, after, latency, drop)
        clock.next()
        yield clock.progress()

    def _cut(self, plan: Plan, workspace: Workspace, clock: _Clock) -> Generator[Event, None, Pruned]:
        run = PruneRun(self.model, self.data, plan.to_json(), None, self.seed, self.device, self.recovery)
        for event in run.run(workspace):
            if isinstance(event, Pruned):
                return event
            yield clock.progress()
        raise AssertionError("a removal ends with what it came to")

    def _timed(
        self, model: ModelRef, batch: int, workspace: Workspace, clock: _Clock
    ) -> Generator[Event, None, Latency]:
        latency: Latency | None = None
        for event in LatencyRun(model, batch, PASSES, self.device).run(workspace):
            latency = event if isinstance(event, Latency) else latency
            yield clock.progress()
        assert latency is not None
        return latency

    def _answered(self, model: ModelRef, workspace: Workspace, clock: _Clock) -> Generator[Event, None, Answered]:
        for event in AnswersRun(model, self.data, self.device).run(workspace):
            if isinstance(event, Answered):
                return event
            yield clock.progress()  # several a second, so that a cancel is noticed
        raise AssertionError("every network answers")


class _Clock:
    """How many networks are done, the whole one among them, and how long the rest will take if each takes as long."""

    def __init__(self, sizes: int) -> None:
        self._sizes, self._done = sizes, 0
        self._start = self._last = time.monotonic()

    def next(self) -> None:
        self._done += 1
        self._last = time.monotonic()

    def progress(self) -> Progress:
        if not self._done:
            return Progress(0, self._sizes, "networks")
        each = (self._last - self._start) / self._done
        left = max(0.0, each * (self._sizes - self._done) - (time.monotonic() - self._last))
        return Progress(self._done, self._sizes, "networks", left)


def batch_of(macs: int) -> int:
    """Images in a timed pass: a power of two, as many as take about a second or less."""
    return min(LARGEST_BATCH, 1 << max(0, int(PASS_MACS // max(macs, 1)).bit_length() - 1))
