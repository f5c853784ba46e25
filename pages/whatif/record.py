"""How far off the estimates were: every one is kept beside the measurement that overwrote it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import pandas as pd
import streamlit as st

from pages.ui import cards, history, numbers, provenance
from pages.ui.desk import Desk
from pages.ui.language import _, ngettext
from pruning_core.analysis.slider import Estimate, Measured
from pruning_core.graph import Network, Plan

KEY = "whatif.record"
KEPT = 50


@dataclass(frozen=True)
class Checked:
    """One move: `units` were between the plan and the one that the estimate started from; accuracies in [0, 1]."""

    move: str
    units: int
    estimate: float
    measured: float
    low: float
    high: float
    images: int

    @property
    def off(self) -> float:
        return self.estimate - self.measured


def of(desk: Desk) -> list[Checked]:
    """The moves of this session on the network and data on the desk, oldest first."""
    every: dict[str, list[Checked]] = st.session_state.setdefault(KEY, {})
    return every.setdefault(f"{desk.model.key} {desk.data.key}", [])


def add(desk: Desk, network: Network, estimate: Estimate, found: Measured) -> None:
    past = history.past()
    accuracy = found.accuracy
    of(desk).append(
        Checked(
            described(network, past[-1][0] if past else Plan(), desk.plan),
            estimate.units,
            estimate.top1,
            accuracy.top1,
            accuracy.low,
            accuracy.high,
            accuracy.images,
        )
    )
    del of(desk)[:-KEPT]


def described(network: Network, before: Plan, after: Plan) -> str:
    """What was moved, in a few words."""
    moved = [g for g in network.groups if before.get(g.key, ()) != after.get(g.key, ())]
    if len(moved) != 1:
        return _("{n} groups").format(n=len(moved))
    (group,) = moved
    return _("{key}: {n} of {size} removed").format(key=group.key, n=len(after.get(group.key, ())), size=group.size)


def mean_error(desk: Desk) -> float | None:
    """Mean distance of estimates from measurements, in [0, 1]."""
    checked = of(desk)
    return fmean(abs(each.off) for each in checked) if checked else None


def section(desk: Desk) -> None:
    """Nothing before the first move."""
    checked, mean = of(desk), mean_error(desk)
    if mean is None:
        return
    last = checked[-1]
    moves = ngettext("{n} move", "{n} moves", len(checked)).format(n=len(checked))
    st.caption(
        _(
            ":material/compare_arrows: The last estimate was {estimate}, measured {measured}: "
            "**{abs:.1f} points off**. Mean over {moves}: {mean:.1f} points."
        ).format(
            estimate=numbers.percent(last.estimate),
            measured=numbers.percent(last.measured),
            abs=abs(100 * last.off),
            moves=moves,
            mean=100 * mean,
        )
    )
    with st.expander(_("Estimates and what was measured"), icon=":material/compare_arrows:"):
        st.dataframe(
            frame(checked),
            hide_index=True,
            height=min(420, 38 + 35 * len(checked)),
            column_config={
                "move": st.column_config.TextColumn(_("Move"), pinned=True),
                "units": st.column_config.NumberColumn(_("Channels changed"), format="localized"),
                "estimate": st.column_config.NumberColumn(_("Estimate"), format="%.1f %%"),
                "measured": st.column_config.NumberColumn(_("Measured"), format="%.1f %%"),
                "low": st.column_config.NumberColumn(_("95 % from"), format="%.1f %%"),
                "high": st.column_config.NumberColumn(_("to"), format="%.1f %%"),
                "off": st.column_config.NumberColumn(_("Off by (points)"), format="%+.1f"),
                "images": st.column_config.NumberColumn(_("Images"), format="localized"),
            },
        )
        cards.source_line(
            provenance.measured(f"{desk.data.name} (held-out)", note=_("Estimates: first order, before measuring."))
        )


def frame(checked: list[Checked]) -> pd.DataFrame:
    """Newest first; accuracies in per cent."""
    return pd.DataFrame(
        [
            {
                "move": each.move,
                "units": each.units,
                "estimate": 100 * each.estimate,
                "measured": 100 * each.measured,
                "low": 100 * each.low,
                "high": 100 * each.high,
                "off": 100 * each.off,
                "images": each.images,
            }
            for each in reversed(checked)
        ]
    )
