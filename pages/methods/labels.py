"""What is said of a run of a method, in a few words."""

from __future__ import annotations

from pages.methods import chance
from pages.ui import measured as measures
from pages.ui import provenance, standing
from pages.ui.language import N_, _, said
from pruning_core.allocation.shortcuts import Coupled
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.method import MethodRun

NAMED = {"macs": N_("MACs"), "parameters": N_("parameters")}
COUNTED = provenance.derived(N_("MACs and parameters counted in closed form from the shapes that remain"))


def run(spec: MethodRun) -> str:
    began = "" if spec.model.base is None else _(" · of a network {made}").format(made=_(standing.made(spec.model)))
    kept = "" if isinstance(spec.shortcuts, Coupled) else f" · {said(spec.shortcuts.card.name).lower()}"
    title, config = chance.title(spec.method), spec.config
    return _("{title} · {budget}{kept}{began} · {epochs} epochs · seed {seed}").format(
        title=title, budget=budget(spec), kept=kept, began=began, epochs=config.epochs, seed=config.seed
    )


def budget(spec: MethodRun) -> str:
    if not spec.method.budgeted:
        return _("no budget")
    return _("{value:.0f} % of the {named}").format(
        value=100 * (spec.budget.fraction or 0), named=_(NAMED[spec.budget.kind])
    )


def measured(accuracy: Accuracy, view: JobView, spec: MethodRun) -> provenance.Provenance:
    return provenance.measured(
        accuracy.dataset, images=accuracy.images, device=view.device.upper(), seed=spec.config.seed,
        note=_(
"{title}. Weights were chosen on held-out images, where a phase chooses."
).format(title=said(measures.measure(accuracy.measure).title)),
    )  # fmt: skip
