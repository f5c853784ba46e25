"""What is said of a run of a method, in a few words."""

from __future__ import annotations

from pages.methods import chance
from pages.ui import measured as measures
from pages.ui import provenance, standing
from pruning_core.allocation.shortcuts import Coupled
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.method import MethodRun

NAMED = {"macs": "MACs", "parameters": "parameters"}
COUNTED = provenance.derived("MACs and parameters counted in closed form from the shapes that remain")


def run(spec: MethodRun) -> str:
    began = "" if spec.model.base is None else f" · of a network {standing.made(spec.model)}"
    kept = "" if isinstance(spec.shortcuts, Coupled) else f" · {spec.shortcuts.card.name.lower()}"
    title, config = chance.title(spec.method), spec.config
    return f"{title} · {budget(spec)}{kept}{began} · {config.epochs} epochs · seed {config.seed}"


def budget(spec: MethodRun) -> str:
    if not spec.method.budgeted:
        return "no budget"
    return f"{100 * (spec.budget.fraction or 0):.0f} % of the {NAMED[spec.budget.kind]}"


def measured(accuracy: Accuracy, view: JobView, spec: MethodRun) -> provenance.Provenance:
    return provenance.measured(
        accuracy.dataset, images=accuracy.images, device=view.device.upper(), seed=spec.config.seed,
        note=f"{measures.measure(accuracy.measure).title}. "
        "Weights were chosen on held-out images, where a phase chooses.",
    )  # fmt: skip
