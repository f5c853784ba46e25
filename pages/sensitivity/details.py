"""One cell of the sweep: what it cost, what it saved, and the way into the plan."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from pages.sensitivity import beside
from pages.sensitivity.frames import Baseline
from pages.ui import cards, changes, history, measured, numbers, plots, provenance, state
from pages.ui import charts as house
from pages.ui.language import N_, _, ngettext, said
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
COUNTED = provenance.derived(N_("counted in closed form, exactly, for the network with only this group cut"))


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
    st.markdown(_("#### {ratio} of {group}").format(ratio=numbers.percent(cell.ratio, 0), group=code(cell.group)))
    st.markdown(
        _("**{removed} of {size} channels removed**, {size_2} kept.").format(
            removed=cell.removed, size=size, size_2=size - cell.removed
        )
    )
    _accuracy(_source(view, spec, cells, cell), cell)
    st.markdown(beside.sentence(spec, cell, other))
    _cost(network, cell)
    _curve(cells, cell.group, base, beside.way(spec), other)
    _take(spec, network, cell)


def _measured(view: JobView, spec: SensitivityRun, images: int) -> provenance.Provenance:
    return provenance.measured(
        _("{name}, held-out images").format(name=spec.data.name),
        images=images,
        device=view.device.upper(),
        seed=spec.seed,
    )


def _baseline(view: JobView, spec: SensitivityRun, base: Baseline) -> None:
    cards.number(
        _("Unpruned {lower}").format(lower=measured.named_in(base.measure)),
        measured.value(base),
        _measured(view, spec, base.images),
        detail=_("{bounds}, {images:,} images").format(bounds=measured.bounds(base), images=base.images),
        help=_("Of the whole network on the same images: {says}; {way}. {interval_help}").format(
            says=said(measured.measure(base.measure).says),
            way=measured.way(base.measure),
            interval_help=measured.interval_help(base.measure),
        ),
        container=st.container(),  # or the frame would grow into what the column has left
    )


def _overview(cells: Cells) -> None:
    noise = sum(cell.within_noise for cell in cells.values())
    estimated = sum(cell.estimated for cell in cells.values())
    also = _(", {estimated} estimated from them (≈)").format(estimated=estimated) if estimated else ""
    st.markdown(
        _(
            "**{n} cells measured**{also}; {noise} are inside the noise (hatched): their drop cannot be "
            "told from zero with these images. Click a cell to see what it cost and to take its ratio "
            "into the plan."
        ).format(n=len(cells) - estimated, also=also, noise=noise)
    )
    if estimated:
        off = off_by(cells)
        st.markdown(
            _("Estimates that were checked are off by {off}.").format(off=off)
            if off
            else _("No estimate is checked yet.")
        )
    worst = max(cells.values(), key=lambda cell: cell.drop, default=None)
    if worst is not None:
        st.markdown(
            _("Most is lost in {group}: {delta} at {ratio} removed.").format(
                group=code(worst.group), delta=changes.of_cell(worst).delta, ratio=numbers.percent(worst.ratio, 0)
            )
        )


def off_by(cells: Cells) -> str | None:
    """How far off the estimates were that were checked; None before any was."""
    wrong = errors(cells.values())
    if not wrong:
        return None
    checked = ngettext("{n} checked cell", "{n} checked cells", len(wrong)).format(n=len(wrong))
    off = measured.difference(next(iter(cells.values())).measure, sum(wrong) / len(wrong)).lstrip("+±")
    return _("{off} on average in {checked}").format(off=off, checked=checked)


def _source(view: JobView, spec: SensitivityRun, cells: Cells, cell: Cell) -> provenance.Provenance:
    if cell.between is None or not cell.estimated:
        return _measured(view, spec, cell.images)
    left, right = (numbers.percent(ratio, 0) for ratio in cell.between)
    return provenance.estimated(
        _("on a straight line between {left} and {right} removed, which lose about the same").format(
            left=left, right=right
        ),
        off_by(cells),
    )


def _accuracy(source: provenance.Provenance, cell: Cell) -> None:
    change = changes.of_cell(cell)
    done = _("and refitting what reads them") if cell.mended else _("nothing else done")
    first, second = cards.pair(WIDE_PX)
    cards.number(
        said(measured.measure(cell.measure).name),
        measured.value(cell),
        source,
        detail=measured.bounds(cell),
        help=_("After removing these channels, {done}, no training. Below: the 95 % interval.").format(done=done),
        container=first,
    )
    cards.number(
        _("Change"),
        change.delta,
        source,
        detail=change.span,
        help=_("Against the unpruned network on the same images; below: the 95 % interval of the paired difference."),
        container=second,
    )
    noise = _(" The change is **{verdict}**.").format(verdict=change.verdict)
    if cell.estimated:
        st.markdown(
            _("Not measured itself: its intervals cover those of the two measured cells.{noise}").format(noise=noise)
        )
        return
    if not measured.measure(cell.measure).decides:
        st.markdown(
            _("Over {images:,} images; {way}.{noise}").format(
                images=cell.images, way=measured.way(cell.measure), noise=noise
            )
        )
        return
    before, after = ("right", "wrong") if cell.measure == TOP1 else (_("decided alike"), "otherwise")
    st.markdown(
        _(
            "Of {images:,} images **{lost}** were {before} before and are {after} after; **{gained}** "
            "the other way round.{noise}"
        ).format(images=cell.images, lost=cell.lost, before=before, after=after, gained=cell.gained, noise=noise)
    )


def _cost(network: Network, cell: Cell) -> None:
    # The units of a group are interchangeable, so which ones go does not matter to the cost.
    before, after = network.cost(), network.cost(Plan({cell.group: range(cell.removed)}))
    first, second = cards.pair(WIDE_PX)
    for place, name, old, new in (
        (first, _("MACs if applied"), before.macs, after.macs),
        (second, _("Parameters if applied"), before.parameters, after.parameters),
    ):
        change = numbers.percent(1 - new / old)
        cards.number(
            name, numbers.count(new), COUNTED, detail=_("{change} fewer").format(change=change), container=place
        )


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
        x_title=_("Share of the channels removed"),
        y_title=said(measured.measure(base.measure).name),
        x_percent=True,
        y_percent=measured.measure(base.measure).unit == "share",
        baseline=(base.top1, _("unpruned")),
        height=230,
        alt=_("{name} of the network when only {group} is cut. ").format(
            name=said(measured.measure(base.measure).name), group=clip(group)
        )
        + " ".join(f"{each}: {_said(row)}." for each, row in known.items() if row),
    )
    plots.show(figure, "sensitivity.curve")


def _row(cells: Cells, group: str) -> list[Cell]:
    return sorted((cell for cell in cells.values() if cell.group == group), key=lambda cell: cell.ratio)


def _said(row: list[Cell]) -> str:
    first, last = ((measured.value(c), numbers.percent(c.ratio, 0)) for c in (row[0], row[-1]))
    return _("from {first} at {first_2} to {last} at {last_2}").format(
        first=first[0], first_2=first[1], last=last[0], last_2=last[1]
    )


def _take(spec: SensitivityRun, network: Network, cell: Cell) -> None:
    planned = state.desk().plan.get(cell.group, ())
    if len(planned) == cell.removed:
        st.caption(
            _(":material/check: The plan removes {removed} channels of this group.").format(removed=cell.removed)
        )
        return
    if st.button(
        _("Take this ratio into the plan"),
        key="sensitivity.take",
        icon=":material/playlist_add:",
        width="stretch",
        help=_("The plan now removes {n} channels of this group.").format(n=len(planned)),
        wrap=True,
    ):
        scores = ranking(spec.model, network, spec.criterion, spec.data, spec.seed).values
        if history.change(state.desk().plan.with_group(cell.group, lowest(scores[cell.group], cell.removed))):
            st.toast(
                _("The plan now removes {removed} channels of {group}.").format(
                    removed=cell.removed, group=named(cell.group)
                )
            )
        st.rerun()
