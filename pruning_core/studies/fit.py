"""The least removal within budgets of which some are times: plans are cut and timed until one keeps to all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import TIMED, Budget, Kept, Kind, told
from pruning_core.allocation.latency import Measure, Running, fitting
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.criteria import Criterion
from pruning_core.datasets import DataRef
from pruning_core.graph import Network, Plan, remove
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.latency import LEAST, measuring_latency
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import the_model
from pruning_core.studies.sensitivity import captured, scored
from pruning_core.zoo import LoadedModel, ModelRef


@dataclass(frozen=True)
class Fitted:
    """The plan (JSON) that was found, how it stands to the timed budgets, and what a person should know."""

    plan: str
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FitRun(RunSpec):
    """Ends with one ``Fitted``: what ``allocation`` removes at least of ``model`` to keep to all ``budgets``.

    One of them must be timed. ``criterion`` says which channels go; images that it looks at come from ``data``.
    A ``LatencyStep`` tells every timing. Raises UserError for a budget out of reach, with the range.
    """

    kind: ClassVar[str] = "fit"
    model: ModelRef
    data: DataRef
    criterion: Criterion
    allocation: Allocation
    budgets: tuple[Budget, ...]
    limits: Limits
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"{self.allocation.card.name} within {told(self.budgets)}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        network = captured(loaded)
        scores = yield from scored(loaded, network, self.criterion, workspace, self.data, self.seed)
        pool = Pool.of(network, scores, self.limits, self.criterion.fair.by)
        yield Stage("timing plans")
        measures: dict[Kind, Measure] = {kind: partial(self._timed, loaded, network, kind) for kind in TIMED}
        found = yield from fitting(self.allocation, pool, self.budgets, measures)
        yield Fitted(found.plan.to_json(), found.kept, found.notes)

    def _timed(self, loaded: LoadedModel, network: Network, kind: Kind, plan: Plan) -> Running[float]:
        model, median = (remove(loaded.model, network, plan).model if plan else loaded.model), 0.0
        compile = kind == "compiled"
        for latency in measuring_latency(model, loaded.input_size, device=self.device, compile=compile):
            median = latency.median_ms
            yield Progress(latency.runs, LEAST, "timed passes")
        return median

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # times of another moment say nothing of this one
