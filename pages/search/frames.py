"""From the events of a search to tables. No streamlit, no plotly."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pandas as pd

from pages.ui import measured
from pages.ui.language import _, ngettext, said
from pages.ui.literal import plotted
from pruning_core.allocation.budget import told as told_of
from pruning_core.allocation.search import EXPLORERS
from pruning_core.allocation.shortcuts import Coupled
from pruning_core.allocation.trial import Trial, best_of, on_front
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1, Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.points import ORIGIN
from pruning_core.studies.search import SearchRun
from pruning_core.studies.tried import UNIFORM, Finalist, Tried

COLUMNS = [
    "by", "name", "number", "top1", "low", "high", "images", "macs", "share", "parameters", "latency_ms", "compiled_ms",
    "cost", "within", "front", "seconds",
]  # fmt: skip
TOLERATED = 0.02  # share of a whole that a smaller network may lose and still count as one like the unpruned
GROUPS_TOLD = 8  # ratios in the text of one point
Place = tuple[str, int]  # an explorer's key and the number of its trial


def name_of(by: str) -> str:
    """What people call an explorer, by the key of its card; also of what stands beside the explorers."""
    names = {each.card.key: said(each.card.name) for each in EXPLORERS}
    return names.get(by, {UNIFORM: _("Uniform"), ORIGIN: _("Unpruned")}.get(by, by))


def trials(view: JobView) -> dict[Place, Tried]:
    return {(each.by, each.trial.number): each for each in view.all(Tried)}


def measure_of(found: Iterable[Tried]) -> str:
    """The key of what trials are judged by."""
    return next((each.measure for each in found), TOP1)


def value(each: Tried) -> float:
    """Of the measure, as people read it: a search turns an error round, so that more is better."""
    return measured.measure(each.measure).better(each.trial.accuracy)


def table(found: Iterable[Tried], network: Network) -> pd.DataFrame:
    """One row per trial as they were made; `front`: nobody of the same explorer is as cheap and better."""
    rows, full = list(found), network.cost().macs
    front: dict[Place, bool] = {}
    for by in dict.fromkeys(each.by for each in rows):
        own = [each.trial for each in rows if each.by == by]
        front |= {(by, trial.number): flag for trial, flag in zip(own, on_front(own))}
    return pd.DataFrame(
        [
            {
                "by": each.by,
                "name": name_of(each.by),
                "number": each.trial.number,
                "top1": value(each),
                "low": each.low,
                "high": each.high,
                "images": each.images,
                "macs": each.trial.macs,
                "share": each.trial.macs / full,
                "parameters": each.trial.parameters,
                "latency_ms": each.trial.latency_ms,
                "compiled_ms": each.trial.compiled_ms,
                "cost": each.trial.macs / full if each.trial.timed_ms is None else each.trial.timed_ms,
                "within": each.trial.within,
                "front": front[each.by, each.trial.number],
                "seconds": each.trial.seconds,
            }
            for each in rows
        ],
        columns=COLUMNS,
    )


def spreadsheet(found: dict[Place, Tried], network: Network) -> pd.DataFrame:
    """One row per trial, with the ratio of every group in a column of its own."""
    frame = table(found.values(), network).drop(columns=["by", "cost", "images"])
    for group in network.groups:
        frame[group.key] = [each.trial.ratios.get(group.key, 0.0) for each in found.values()]
    return frame


def told(each: Tried, network: Network) -> str:
    """What the figure says of one point."""
    trial = each.trial
    cut = sorted(trial.ratios.items(), key=lambda pair: -pair[1])
    ratios = [f"{plotted(key)} −{100 * ratio:.0f} %" for key, ratio in cut[:GROUPS_TOLD] if ratio > 0]
    more = len([ratio for _, ratio in cut if ratio > 0]) - len(ratios)
    parts = [
        _("<b>{name_of}</b>, trial {number}").format(name_of=name_of(each.by), number=trial.number),
        _("{name} {written} (95 % interval {span_of})").format(
            name=said(measured.measure(each.measure).name),
            written=measured.written(each.measure, value(each)),
            span_of=measured.span_of(each.measure, each.low, each.high),
        ),
        _("{macs:,} MACs ({macs_2:.1f} %), {parameters:,} parameters").format(
            macs=trial.macs, macs_2=100 * trial.macs / network.cost().macs, parameters=trial.parameters
        ),
        *([f"{trial.latency_ms:.3g} ms"] if trial.latency_ms is not None else []),
        *(
            [_("{compiled_ms:.3g} ms compiled").format(compiled_ms=trial.compiled_ms)]
            if trial.compiled_ms is not None
            else []
        ),
        *([] if trial.within else [_("over the budget")]),
        *(ratios or [_("nothing removed")]),
        *([_("and {more} more groups").format(more=more)] if more > 0 else []),
    ]
    return "<br>".join(parts)


def best_so_far(frame: pd.DataFrame, rises: bool = True) -> pd.DataFrame:
    """`trial` (1 for the first), `name`, `best`: the best value within the budget up to there."""
    rows, better = [], max if rises else min
    for name, part in frame.groupby("name", sort=False):
        best = float("nan")
        for place, (top1, within) in enumerate(zip(part["top1"], part["within"]), 1):
            best = better(best, top1) if within and best == best else top1 if within else best
            rows.append((place, name, best))
    return pd.DataFrame(rows, columns=["trial", "name", "best"])


def best(found: dict[Place, Tried], by: str, spec: SearchRun, origin: Accuracy | None) -> Tried | None:
    """The best trial of one explorer within the budget; without a budget, the cheapest that lost little."""
    own = [each.trial for each in found.values() if each.by == by]
    if not spec.budgets:
        floor = (
            inf if origin is None else measured.measure(origin.measure).better(origin.top1) - TOLERATED * origin.whole
        )
        winner = min((t for t in own if t.accuracy >= floor), key=lambda t: (t.cost, t.number), default=None)
    else:
        winner = best_of(own)
    return found[by, winner.number] if winner is not None else None


def finalists(view: JobView) -> dict[str, Finalist]:
    return {each.by: each for each in view.all(Finalist)}


def widths(trial: Trial, network: Network) -> pd.DataFrame:
    """`layer`, `before`, `after`: channels of every group."""
    return pd.DataFrame(
        {
            "layer": [group.key for group in network.groups],
            "before": [group.size for group in network.groups],
            "after": [group.size - len(trial.plan.get(group.key, ())) for group in network.groups],
        }
    )


def label(spec: SearchRun) -> str:
    """What tells this search from another one of the same network."""
    parts = [
        said(spec.search.explorer.card.name),
        told_of(spec.budgets),
        ngettext("{n} trial", "{n} trials", spec.search.trials).format(n=spec.search.trials),
        said(spec.criterion.label),
        _("seed {n}").format(n=spec.search.seed),
    ]
    if spec.limits.multiple > 1:
        parts.append(_("multiples of {multiple}").format(multiple=spec.limits.multiple))
    if not isinstance(spec.limits.shortcuts, Coupled):
        parts.append(said(spec.limits.shortcuts.card.name).lower())
    if spec.limits.protected:
        parts.append(_("{n} protected").format(n=len(spec.limits.protected)))
    return " · ".join(parts)
