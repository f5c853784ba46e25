"""One cell of the sweep: what it cost, what it saved, and the way into the plan."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from pages.sensitivity import beside
from pages.sensitivity.frames import Baseline
from pages.ui import cards, changes, history, measured, numbers, plots, provenance, state
from pages.ui import charts as house
from pages.ui.literal import code, named
from pages.ui.ranking import ranking
from pruning_core.allocation.lowest import lowest
from pruning_core.analysis.bisection import errors
from pruning_core.errors import clip
from pruning_core.graph import Network, Plan
from pruning_core.measuring.measures import TOP1, Cell
from pruning_core.runs.view import JobView
from pruning_core.studies.sensitivity import SensitivityRun

Cells = Mapping[tuple[str, float], Cell]
WIDE_PX = 384  # of the column beside the heatmap
COUNTED = provenance.derived("counted in closed form, exactly, for the network with only this group cut")


def show(
    view: JobView,
    spec: SensitivityRun,
    network: Network,
    base: Baseline,
    cells: Cells,
    chosen: tuple[str, float] | None,
    other: beside.Other | None = None,
) -> None:
    """The chosen cell, or what the sweep says as a whole."""
    _baseline(view, spec, base)
    cell = cells.get(chosen) if chosen else None
    if cell is None:
        _overview(cells)
        return
    size = network.group(cell.group).size
    st.markdown(f"#### {numbers.percent(cell.ratio, 0)} of {code(cell.group)}")
    st.markdown(f"**{cell.removed} of {size} channels removed**, {size - cell.removed} kept.")
    _accuracy(_source(view, spec, cells, cell), cell)
    st.markdown(beside.sentence(spec, cell, other))
    _cost(network, cell)
    _curve(cells, cell.group, base, beside.way(spec), other)
    _take(spec, network, cell)


def _measured(view: JobView, spec: SensitivityRun, images: int) -> provenance.Provenance:
    return provenance.measured(
        f"{spec.data.name}, held-out images", images=images, device=view.device.upper(), seed=spec.seed
    )


def _baseline(view: JobView, spec: SensitivityRun, base: Baseline) -> None:
    cards.number(
        f"Unpruned {measured.measure(base.measure).name.lower()}",
        measured.value(base),
        _measured(view, spec, base.images),
        detail=f"{measured.bounds(base)}, {base.images:,} images",
        help=f"Of the whole network on the same images: {measured.measure(base.measure).says}; "
        f"{measured.way(base.measure)}. {measured.interval_help(base.measure)}",
        container=st.container(),  # or the frame would grow into what the column has left
    )


def _overview(cells: Cells) -> None:
    noise = sum(cell.within_noise for cell in cells.values())
    estimated = sum(cell.estimated for cell in cells.values())
    also = f", {estimated} estimated from them (≈)" if estimated else ""
    st.markdown(
        f"**{len(cells) - estimated} cells measured**{also}; {noise} are inside the noise (hatched): their drop cannot "
        "be told from zero with these images. Click a cell to see what it cost and to take its ratio into the plan."
    )
    if estimated:
        off = off_by(cells)
        st.markdown(f"Estimates that were checked are off by {off}." if off else "No estimate is checked yet.")
    worst = max(cells.values(), key=lambda cell: cell.drop, default=None)
    if worst is not None:
        st.markdown(
            f"Most is lost in {code(worst.group)}: {changes.of_cell(worst).delta} at "
            f"{numbers.percent(worst.ratio, 0)} removed."
        )


def off_by(cells: Cells) -> str | None:
    """How far off the estimates were that were checked; None before any was."""
    wrong = errors(cells.values())
    if not wrong:
        return None
    checked = f"{len(wrong)} checked cell{'' if len(wrong) == 1 else 's'}"
    off = measured.difference(next(iter(cells.values())).measure, sum(wrong) / len(wrong)).lstrip("+±")
    return f"{off} on average in {checked}"


def _source(view: JobView, spec: SensitivityRun, cells: Cells, cell: Cell) -> provenance.Provenance:
    if cell.between is None or not cell.estimated:
        return _measured(view, spec, cell.images)
    left, right = (numbers.percent(ratio, 0) for ratio in cell.between)
    return provenance.estimated(
        f"on a straight line between {left} and {right} removed, which lose about the same", off_by(cells)
    )


def _accuracy(source: provenance.Provenance, cell: Cell) -> None:
    change = changes.of_cell(cell)
    done = "and refitting what reads them" if cell.mended else "nothing else done"
    first, second = cards.pair(WIDE_PX)
    cards.number(
        measured.measure(cell.measure).name,
        measured.value(cell),
        source,
        detail=measured.bounds(cell),
        help=f"After removing these channels, {done}, no training. Below: the 95 % interval.",
        container=first,
    )
    cards.number(
        "Change",
        change.delta,
        source,
        detail=change.span,
        help="Against the unpruned network on the same images; below: the 95 % interval of the paired difference.",
        container=second,
    )
    noise = f" The change is **{change.verdict}**."
    if cell.estimated:
        st.markdown(f"Not measured itself: its intervals cover those of the two measured cells.{noise}")
        return
    if not measured.measure(cell.measure).decides:
        st.markdown(f"Over {cell.images:,} images; {measured.way(cell.measure)}.{noise}")
        return
    before, after = ("right", "wrong") if cell.measure == TOP1 else ("decided alike", "otherwise")
    st.markdown(
        f"Of {cell.images:,} images **{cell.lost}** were {before} before and are {after} after; **{cell.gained}** the "
        f"other way round.{noise}"
    )


def _cost(network: Network, cell: Cell) -> None:
    # The units of a group are interchangeable, so which ones go does not matter to the cost.
    before, after = network.cost(), network.cost(Plan({cell.group: range(cell.removed)}))
    first, second = cards.pair(WIDE_PX)
    for place, name, old, new in (
        (first, "MACs if applied", before.macs, after.macs),
        (second, "Parameters if applied", before.parameters, after.parameters),
    ):
        change = numbers.percent(1 - new / old)
        cards.number(name, numbers.count(new), COUNTED, detail=f"{change} fewer", container=place)


def _curve(cells: Cells, group: str, base: Baseline, way: str, other: beside.Other | None) -> None:
    """The row of the heatmap as a line, and that of the sweep the other way beside it."""
    mine = _row(cells, group)
    if len(mine) < 2:
        return
    known = {way: mine} | ({other.way: _row(other.cells, group)} if other else {})
    frame = pd.DataFrame(
        [
            {"ratio": c.ratio, "top1": c.top1, "low": c.low, "high": c.high, "way": each}
            for each, row in known.items()
            for c in row
        ]
    )
    figure = house.lines(
        frame,
        x="ratio",
        y="top1",
        by="way" if other else None,
        low="low",
        high="high",
        x_title="Share of the channels removed",
        y_title=measured.measure(base.measure).name,
        x_percent=True,
        y_percent=measured.measure(base.measure).unit == "share",
        baseline=(base.top1, "unpruned"),
        height=230,
        alt=f"{measured.measure(base.measure).name} of the network when only {clip(group)} is cut. "
        + " ".join(f"{each}: {_said(row)}." for each, row in known.items() if row),
    )
    plots.show(figure, "sensitivity.curve")


def _row(cells: Cells, group: str) -> list[Cell]:
    return sorted((cell for cell in cells.values() if cell.group == group), key=lambda cell: cell.ratio)


def _said(row: list[Cell]) -> str:
    first, last = ((measured.value(c), numbers.percent(c.ratio, 0)) for c in (row[0], row[-1]))
    return f"from {first[0]} at {first[1]} to {last[0]} at {last[1]}"


def _take(spec: SensitivityRun, network: Network, cell: Cell) -> None:
    planned = state.desk().plan.get(cell.group, ())
    if len(planned) == cell.removed:
        st.caption(f":material/check: The plan removes {cell.removed} channels of this group.")
        return
    if st.button(
        "Take this ratio into the plan",
        key="sensitivity.take",
        icon=":material/playlist_add:",
        width="stretch",
        help=f"The plan now removes {len(planned)} channels of this group.",
        wrap=True,
    ):
        scores = ranking(spec.model, network, spec.criterion, spec.data, spec.seed).values
        if history.change(state.desk().plan.with_group(cell.group, lowest(scores[cell.group], cell.removed))):
            st.toast(f"The plan now removes {cell.removed} channels of {named(cell.group)}.")
        st.rerun()
