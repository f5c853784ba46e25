"""A network that was made here beside what it was made from: both measured on the same images. For several pages."""

from __future__ import annotations

from dataclasses import replace

from pages.ui import jobs, provenance, sizes, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.sizes import Size, Sizes
from pruning_core.datasets import DataRef
from pruning_core.measuring.answers import Answers
from pruning_core.measuring.classifying import TopOne
from pruning_core.measuring.measures import Drop, Latency
from pruning_core.runs.view import JobView
from pruning_core.studies.answers import Answered, AnswersRun, read_answers, worse
from pruning_core.studies.front import PASSES, batch_of
from pruning_core.studies.judging import refusal
from pruning_core.studies.measure import LatencyRun
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called


def tested(model: ModelRef, data: DataRef) -> DataRef:
    """On the test images, by which nobody has chosen: right or wrong, whatever else the desk judges by.

    Where no answer is right or wrong, by what the desk judges by.
    """
    return replace(data, split="test", measure=data.measure if data.measure and not of_classes(model, data) else "")


def of_classes(model: ModelRef, data: DataRef) -> bool:
    """Whether answers of the network to the test images are right or wrong."""
    return not refusal(TopOne(), state.loaded(model), state.splits(data)[1])


def runs_of_own(desk: Desk) -> list[str]:
    """The measurements of a network that was made here and of what it was made from, started where they are missing."""
    batch = batch_of(state.network(desk.model.origin).cost().macs)
    data = tested(desk.model, desk.data)
    return [
        state.jobs().submit(run, state.owner())
        for ref in (desk.model.origin, desk.model)
        for run in (AnswersRun(ref, data), LatencyRun(ref, batch, PASSES))
    ]


def own(desk: Desk, views: tuple[JobView, ...]) -> Sizes | None:
    """The network on the desk beside what it was made from; None while something is still measured."""
    whole_answered, whole_timed, answered, timed = (
        view.last(kind) for view, kind in zip(views, (Answered, Latency, Answered, Latency), strict=True)
    )
    if any(view.active for view in views) or not (whole_answered and whole_timed and answered and timed):
        return None
    classes = state.loaded(desk.model).num_classes
    before, after = (state.network(ref).cost() for ref in (desk.model.origin, desk.model))
    drop = worse(state.workspace(), whole_answered, answered, classes)
    whole = size_of(desk.model.origin, 1.0, before, whole_answered, whole_timed, None, "{}", classes)
    small = size_of(
        desk.model, after.macs / max(1, before.macs), after, answered, timed, drop, desk.model.plan, classes
    )
    return beside(desk.model.origin, [whole, small], views[0].device, _("the network on the desk, as it was made here"))


def beside(ref: ModelRef, found: list[Size], device: str, how: str) -> Sizes:
    accuracy = found[0].accuracy
    source = provenance.measured(accuracy.dataset, images=accuracy.images, device=device.upper())
    return Sizes(called(ref), tuple(found), source, sizes.timing(found[0].latency), how)


def size_of(
    model: ModelRef, share: float, cost: object, answered: Answered, latency: Latency, drop: Drop | None, plan: str,
    classes: int,
) -> Size:  # fmt: skip
    said = answers_of(answered, classes) if answered.of_classes else None
    counts = {name: getattr(cost, name) for name in ("macs", "parameters", "size_bytes")}
    return Size(
        share, **counts, accuracy=answered.accuracy, latency=latency, drop=drop,
        predicted=said.predicted.tolist() if said else (), confidence=said.confidence.tolist() if said else (),
        plan=plan, model=model, name=called(model),
    )  # fmt: skip


def answers_of(answered: Answered, classes: int) -> Answers:
    return read_answers(state.workspace(), answered.digest, classes)


def waiting(views: tuple[JobView, ...]) -> str:
    """What is measured now, in words."""
    active = next((view for view in views if view.active), None)
    return jobs.waiting(active) if active else ""
