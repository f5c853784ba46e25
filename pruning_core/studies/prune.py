"""Applying a plan as a run: real removal, its proof, and both networks measured on the same images."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import thop
import torch
from torch import nn

from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.latency import LEAST, measuring_latency
from pruning_core.measuring.measures import Accuracy, Drop, Latency
from pruning_core.methods.perform import only_events, perform
from pruning_core.methods.programs import applying
from pruning_core.methods.recoveries import NewStatistics, Recovery, phases_of
from pruning_core.methods.state import Setup, State
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.by_output import apart
from pruning_core.studies.inputs import fit_sample, fitted, the_model, the_split
from pruning_core.studies.pruned import Figures, Pruned, Recovered
from pruning_core.studies.sensitivity import captured
from pruning_core.work import told
from pruning_core.zoo import ModelRef, store_weights
from pruning_core.zoo.titles import called

WHEN = {"before": "before", "after": "after", "recovered": "after the recovery"}


@dataclass(frozen=True)
class PruneRun(RunSpec):
    """Remove the units of ``plan`` (JSON) from ``model`` and measure before and after on ``images`` of ``data``.

    Measures once more after ``recovery``, which is no training: those have runs of their own. Ends with one ``Pruned``.
    """

    kind: ClassVar[str] = "prune"
    version: ClassVar[int] = 4  # since any recovery may follow
    model: ModelRef
    data: DataRef
    plan: str
    images: int | None = None
    seed: int = 0
    device: str = "auto"
    recovery: Recovery = field(default_factory=NewStatistics)

    @property
    def title(self) -> str:
        return f"Removing channels from {called(self.model)}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        plan = Plan.from_json(self.plan)
        if not plan:
            raise UserError("The plan removes nothing yet. Move a slider first.")
        if self.recovery.trains:
            raise UserError(
                "Training is a run of its own. Apply the plan, then train the smaller network on Fine-tune."
            )
        loaded = yield from the_model(self.model, workspace)
        data = yield from the_split(self.data, workspace)
        data = fitted(data if self.images is None else data.subset(self.images, self.seed), self.data, loaded)
        network = captured(loaded)
        setup = Setup(data, seed=self.seed, device=self.device)
        after = yield from told(perform(applying(plan), State.of(loaded.model, network), setup), only_events)
        removal = after.removal
        assert removal is not None  # the plan removes something
        networks = {"before": loaded.model, "after": removal.model}
        recovery, seen, took = self.recovery.sized(network.cost(plan).macs), 0, 0.0
        if recovery.changes(removal.model):
            fit = yield from fit_sample(self.data, loaded, workspace, recovery.looks_at, self.seed)
            seen, began = len(fit), time.perf_counter()
            recovering = perform(phases_of((recovery,)), after, replace(setup, fit=fit))
            networks["recovered"] = (yield from told(recovering, only_events)).model
            took = time.perf_counter() - began
        tallies: dict[str, Tally] = {}
        accuracies: dict[str, Accuracy] = {}
        for when, model in networks.items():
            yield Stage(f"measuring accuracy {WHEN[when]}")
            tallies[when] = Tally(data)
            for batch in predicting(model, data, device=self.device, seed=self.seed):
                accuracy = accuracies[when] = tallies[when].add(batch)
                yield Progress(accuracy.images, accuracy.total, "images")
        latencies: dict[str, Latency] = {}
        for when, model in (("before", loaded.model), ("after", removal.model)):
            yield Stage(f"measuring latency {when}")
            for latency in measuring_latency(model, loaded.input_size, device=self.device):
                latencies[when] = latency
                yield Progress(latency.runs, LEAST, "timed passes")

        def drop(when: str) -> Drop:
            return tallies["before"].marks.drop(tallies[when].marks)

        def figures(when: str, cost: Cost) -> Figures:
            thop = thop_macs(networks[when], loaded.input_size)
            return Figures(accuracies[when], latencies[when], cost, thop)

        def stored(when: str) -> ModelRef:
            weights = store_weights(networks[when].state_dict(), workspace)
            name, size = loaded.ref.name, loaded.ref.input_size
            return ModelRef("pruned", name, weights=weights, input_size=size, base=self.model, plan=plan.to_json())

        yield Pruned(
            model=stored("after"),
            form=removal.form,
            notes=removal.notes,
            proof=removal.proof,
            before=figures("before", network.cost()),
            after=figures("after", removal.cost),
            drop=drop("after"),
            layers=tuple(zip(network.layer_costs(), network.layer_costs(plan), strict=True)),
            recovered=Recovered(
                recovery.card.name,
                stored("recovered"),
                accuracies["recovered"],
                drop("recovered"),
                seen,
                weights_differ(removal.model, networks["recovered"]),
                took,
            )
            if seen
            else None,
            apart=apart(networks, data, loaded),
        )

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def weights_differ(one: nn.Module, other: nn.Module) -> bool:
    """Whether any parameter does, of two networks of the same shape."""
    others = dict(other.named_parameters())
    return any(not torch.equal(value, others[name]) for name, value in one.named_parameters())


def thop_macs(model: nn.Module, input_size: tuple[int, ...]) -> int | None:
    """MACs as the thop package counts them, on a copy: it leaves buffers behind. None where it fails."""
    clone = copy.deepcopy(model).eval()
    try:
        macs, _ = thop.profile(clone, inputs=(torch.zeros(1, *input_size),), verbose=False)
    except Exception:  # somebody else's counter: whatever goes wrong there must not lose a result
        return None
    return int(macs)
