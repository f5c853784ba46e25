"""What is seen while a search runs: every trial, the front, and the trial that was clicked."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.search import charts, chosen, frames
from pages.ui import cards, held_out, measured, numbers, plots, provenance
from pages.ui.language import _, said
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
        st.caption(_("The first points appear as soon as the channels are scored."))
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
            st.caption(_(":material/ads_click: Click a point to see its widths and to take its plan."))
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
        _("{name}, held-out images").format(name=spec.data.name),
        images=images,
        device=view.device.upper(),
        seed=spec.search.seed,
        note=_(
            "Channels ranked by {label}; {name} on {looks_at} images of the fitted part. Bars on the "
            "front are 95 % intervals of one measurement; the best of many is partly luck."
        ).format(
            label=said(spec.criterion.label),
            name=said(spec.recovery.card.name),
            looks_at=held_out.looked_at(spec.recovery, spec.data),
        ),
    )


def _cards(view: JobView, spec: SearchRun, found: dict[frames.Place, Tried]) -> None:
    places = cards.row(4)
    on = source(view, spec, next(iter(found.values())).images)
    origin = view.last(Accuracy)
    if origin is not None:
        title = _("Unpruned")
        if origin.measure != TOP1:
            title = _("Unpruned {named_in}").format(named_in=measured.named_in(origin.measure))
        cards.number(
            title, measured.value(origin), on, detail=measured.bounds(origin), container=places[0],
            help=f"{measured.sentence(origin.measure)} {measured.interval_help(origin.measure)}",
        )  # fmt: skip
    for key, place in zip(spec.explorers, places[1:]):
        _best(key, spec, found, origin, on, place)
    took = provenance.measured(_("the clock of each trial"), device=view.device.upper())
    mean = sum(each.trial.seconds for each in found.values()) / len(found)
    cards.number(_("Time"), numbers.duration(mean), took, detail=_("per trial"), container=places[3])


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
        cards.pending(
            _("Best of {name}").format(name=name),
            _("none of {number} trials is good enough yet").format(number=number),
            container=place,
        )
        return
    top1, few = measured.written(best.measure, frames.value(best)), _("of {number} trials").format(number=number)
    interval = measured.span_of(best.measure, best.low, best.high)
    if spec.budgets:
        cards.number(
            _("Best of {name}").format(name=name),
            top1,
            on,
            detail=f"{interval}, {few}",
            container=place,
            help=_("The network within the budget with the best {named_in} so far.").format(
                named_in=measured.named_in(best.measure)
            ),
        )
        return
    cards.number(
        _("Smallest of {name}").format(name=name),
        _("{macs} MACs").format(macs=numbers.count(best.trial.macs)),
        on,
        detail=f"{top1} ({interval}), {few}",
        container=place,
        help=_("The cheapest network that lost at most {tolerated} against the unpruned one.").format(
            tolerated=_tolerated(origin)
        ),
    )


def _tolerated(origin: Accuracy | None) -> str:
    key, share = (TOP1, 1.0) if origin is None else (origin.measure, origin.whole)
    return measured.difference(key, frames.TOLERATED * share).lstrip("+")


def _timed(spec: SearchRun) -> bool:
    return any(each.timed for each in spec.budgets)


def _limit(spec: SearchRun) -> float | None:
    """The budget on the x axis, where it counts what the axis shows."""
    return next((each.fraction for each in spec.budgets if each.kind == "macs" and not _timed(spec)), None)
