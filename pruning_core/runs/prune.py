"""Applying a plan as a run: real removal, its proof, and both networks measured on the same images."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import thop
import torch
from torch import nn

from pruning_core.analysis.device import choose_device
from pruning_core.analysis.evaluate import Tally, predicting
from pruning_core.analysis.intervals import paired_drop
from pruning_core.analysis.latency import LEAST, measuring_latency
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.graph import Plan, remove
from pruning_core.runs.events import Event, Progress, Result, Stage
from pruning_core.runs.inputs import fitted, the_model, the_split
from pruning_core.runs.sensitivity import captured
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.workspace import Workspace
from pruning_core.zoo import ModelRef, store_weights

PROOF_IMAGES = 4


@dataclass(frozen=True)
class PruneRun(RunSpec):
    """Remove the units of ``plan`` (JSON) from ``model`` and measure before and after on ``images`` of ``data``.

    Ends with one Result whose payload holds "model" (the pruned network's reference), "form", "proof", "notes", "cost",
    "accuracy", "latency" (each {"before": …, "after": …}), "drop" and "layers" (rows before and after).
    """

    kind: ClassVar[str] = "prune"
    model: ModelRef
    data: DataRef
    plan: str
    images: int | None = None
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Removing channels from {self.model.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        plan = Plan.from_json(self.plan)
        if not plan:
            raise UserError("The plan removes nothing yet. Move a slider first.")
        loaded = yield from the_model(self.model, workspace)
        data = yield from the_split(self.data, workspace)
        data = fitted(data if self.images is None else data.subset(self.images, self.seed), self.data, loaded)
        network = captured(loaded)
        yield Stage("removing channels")
        removal = remove(loaded.model, network, plan, data.normalised(data.images[:PROOF_IMAGES]))
        digest = store_weights(removal.model.state_dict(), workspace)
        reference = ModelRef(
            "pruned",
            loaded.ref.name,
            weights=digest,
            input_size=loaded.ref.input_size,
            base=self.model,
            plan=plan.to_json(),
        )
        tallies: dict[str, Tally] = {}
        accuracies: dict[str, Any] = {}
        for when, model in (("before", loaded.model), ("after", removal.model)):
            yield Stage(f"measuring accuracy {when}")
            tallies[when] = Tally(data)
            for batch in predicting(model, data, device=self.device, seed=self.seed):
                accuracy = tallies[when].add(batch)
                accuracies[when] = asdict(accuracy)
                yield Progress(accuracy.images, accuracy.total, "images")
        latencies: dict[str, Any] = {}
        for when, model in (("before", loaded.model), ("after", removal.model)):
            yield Stage(f"measuring latency {when}")
            for latency in measuring_latency(model, loaded.input_size, device=self.device):
                latencies[when] = asdict(latency)
                yield Progress(latency.runs, LEAST, "timed passes")
        drop = paired_drop(tallies["before"].correct, tallies["after"].correct)
        yield Result(
            {
                "model": reference.to_json(),
                "form": removal.form,
                "notes": removal.notes,
                "proof": asdict(removal.proof),
                "cost": {"before": asdict(network.cost()), "after": asdict(network.cost(plan))},
                "accuracy": accuracies,
                "drop": asdict(drop),
                "latency": latencies,
                "layers": [[asdict(a), asdict(b)] for a, b in zip(network.layer_costs(), network.layer_costs(plan))],
                "thop": {
                    "before": thop_macs(loaded.model, loaded.input_size),
                    "after": thop_macs(removal.model, loaded.input_size),
                },
            }
        )

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def thop_macs(model: nn.Module, input_size: tuple[int, int, int]) -> int | None:
    """MACs as the thop package counts them, on a copy: it leaves buffers behind. None where it fails."""
    clone = copy.deepcopy(model).eval()
    try:
        macs, _ = thop.profile(clone, inputs=(torch.zeros(1, *input_size),), verbose=False)
    except Exception:  # somebody else's counter: whatever goes wrong there must not lose a result
        return None
    return int(macs)
