"""What is seen while a search runs: every trial, the front, and the trial that was clicked."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.search import charts, chosen, frames
from pages.ui import cards, measured, numbers, plots, provenance
from pages.ui.provenance import Provenance
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1, Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.search import SearchRun
from pruning_core.studies.tried import Tried


def draw(view: JobView, spec: SearchRun, network: Network) -> None:
    """Everything below the status line; drawn again while it runs."""
    found = frames.trials(view)
    if not found:
        st.caption("The first points appear as soon as the channels are scored.")
        return
    names = [frames.name_of(key) for key in spec.explorers]
    origin = view.last(Accuracy)
    _cards(view, spec, found)
    left, right = st.columns([3, 2], gap="medium")
    frame, judged = frames.table(found.values(), network), frames.measure_of(found.values())
    places = list(found)
    wanted = chosen.place(found, spec, origin)
    figure = charts.front(
        frame,
        told=[frames.told(each, network) for each in found.values()],
        names=names,
        origin=origin.top1 if origin else None,
        selected=places.index(wanted) if wanted in found else None,
        limit=_limit(spec),
        timed=_timed(spec),
        measure=judged,
    )
    with left:
        # A figure that takes clicks is mounted anew whenever it changes, so it takes none while it grows.
        clicked = None
        if view.active:
            plots.show(figure, "search.growing")
        else:
            clicked = plots.pick(figure, "search.front", charts.TRIALS)
            st.caption(":material/ads_click: Click a point to see its widths and to take its plan.")
        cards.source_line(source(view, spec, next(iter(found.values())).images))
    if clicked is not None:
        chosen.choose(places[int(clicked["point_index"])])
        st.rerun()
    with right:
        chosen.show(found[wanted], network, spec)
        if spec.budgets:
            first = found.get((spec.explorers[-1], 0))
            uniform = frames.value(first) if first and first.trial.within else None
            so_far = frames.best_so_far(frame, measured.measure(judged).rises)
            plots.show(charts.progress(so_far, names=names, uniform=uniform, measure=judged), "search.progress")


def source(view: JobView, spec: SearchRun, images: int) -> Provenance:
    """Where every number of this search comes from."""
    return provenance.measured(
        f"{spec.data.name}, held-out images",
        images=images,
        device=view.device.upper(),
        seed=spec.search.seed,
        note=f"Channels ranked by {spec.criterion.label}; {spec.recovery.card.name} on {spec.recovery.looks_at} images "
        "of the fitted part. Bars on the front are 95 % intervals of one measurement; the best of many is partly luck.",
    )


def _cards(view: JobView, spec: SearchRun, found: dict[frames.Place, Tried]) -> None:
    places = cards.row(4)
    on = source(view, spec, next(iter(found.values())).images)
    origin = view.last(Accuracy)
    if origin is not None:
        title = "Unpruned" if origin.measure == TOP1 else f"Unpruned {measured.named_in(origin.measure)}"
        cards.number(
            title, measured.value(origin), on, detail=measured.bounds(origin), container=places[0],
            help=f"{measured.sentence(origin.measure)} {measured.interval_help(origin.measure)}",
        )  # fmt: skip
    for key, place in zip(spec.explorers, places[1:]):
        _best(key, spec, found, origin, on, place)
    took = provenance.measured("the clock of each trial", device=view.device.upper())
    mean = sum(each.trial.seconds for each in found.values()) / len(found)
    cards.number("Time", numbers.duration(mean), took, detail="per trial", container=places[3])


def _best(
    key: str,
    spec: SearchRun,
    found: dict[frames.Place, Tried],
    origin: Accuracy | None,
    on: Provenance,
    place: DeltaGenerator,
) -> None:
    """The best under a budget; without one, the smallest that is nearly as good as the unpruned."""
    name, best = frames.name_of(key), frames.best(found, key, spec, origin)
    number = sum(each.by == key for each in found.values())
    if best is None:
        cards.pending(f"Best of {name}", f"none of {number} trials is good enough yet", container=place)
        return
    top1, few = measured.written(best.measure, frames.value(best)), f"of {number} trials"
    interval = measured.span_of(best.measure, best.low, best.high)
    if spec.budgets:
        cards.number(
            f"Best of {name}", top1, on, detail=f"{interval}, {few}", container=place,
            help=f"The network within the budget with the best {measured.named_in(best.measure)} so far.",
        )  # fmt: skip
        return
    cards.number(
        f"Smallest of {name}", f"{numbers.count(best.trial.macs)} MACs", on, detail=f"{top1} ({interval}), {few}",
        container=place,
        help=f"The cheapest network that lost at most {_tolerated(origin)} against the unpruned one.",
    )  # fmt: skip


def _tolerated(origin: Accuracy | None) -> str:
    key, share = (TOP1, 1.0) if origin is None else (origin.measure, origin.whole)
    return measured.difference(key, frames.TOLERATED * share).lstrip("+")


def _timed(spec: SearchRun) -> bool:
    return any(each.timed for each in spec.budgets)


def _limit(spec: SearchRun) -> float | None:
    """The budget on the x axis, where it counts what the axis shows."""
    return next((each.fraction for each in spec.budgets if each.kind == "macs" and not _timed(spec)), None)
