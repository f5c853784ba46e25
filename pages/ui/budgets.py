"""Budgets, as many at once as a person wants: the widgets, and how a plan stands to each of them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.ui import numbers
from pages.ui.language import N_, _, said
from pruning_core.allocation.budget import NAMES, TIMED, UNITS, Budget, Kept, Kind, Reach

COUNTED: tuple[Kind, ...] = ("macs", "parameters", "bytes")
EVERY: tuple[Kind, ...] = (*COUNTED, *TIMED)
HELP = N_(
    "Choose several and all of them hold. Bytes are those of parameters and buffers as they are stored. A latency is "
    "measured: as PyTorch runs the network, or after torch.compile."
)


def ask(key: str, kinds: Sequence[Kind] = EVERY, more: str = "") -> tuple[Budget, ...]:
    """Those that were chosen among ``kinds``, in their order, each with its share; there may be none."""
    chosen = st.pills(
        _("The budgets count"), kinds, selection_mode="multi", default=["macs"], format_func=_title, key=f"{key}.kinds",
        persist_state="session", help=f"{_(HELP)} {more}".strip(), wrap=True,
    )  # fmt: skip
    return tuple(Budget(kind, fraction=_share(key, kind) / 100) for kind in kinds if kind in chosen)


def _share(key: str, kind: Kind) -> int:
    return int(
        st.slider(
            _("{what}: keep at most").format(what=_title(kind)), 1, 100, 50, format="%d %%", key=f"{key}.share.{kind}",
            persist_state="session", help=_("Of the unpruned network."),
        )
    )  # fmt: skip


def _title(kind: Kind) -> str:
    name = said(NAMES[kind])
    return name[0].upper() + name[1:]


def feasible(found: Sequence[tuple[Budget, Reach]]) -> bool:
    """Says for every budget whether it can be had, before anything runs."""
    fine = True
    for budget, reach in found:
        limit = budget.limit(reach.high)
        asked = _("At most {budget}, {amount}").format(budget=said(budget.text), amount=numbers.count(limit))
        if limit < reach.low:
            fine = False
            st.warning(
                _("{asked}: this cannot be reached. Within these limits the network can have {reach}.").format(
                    asked=asked, reach=said(reach.text)
                ),
                icon=":material/block:",
            )
        else:
            st.markdown(
                _(
                    ":green-badge[:material/check: can be reached] {asked}. Within these limits the network can have "
                    "{reach}."
                ).format(asked=asked, reach=said(reach.text))
            )
    return fine


def standing(found: Sequence[Kept], title: str) -> None:
    """One line: each budget, met or not, and by how much."""
    if found:
        st.markdown(f"{title}: " + " · ".join(map(stands, found)))


def stands(each: Kept) -> str:
    """Markdown: a budget, what a plan has of it, and whether it is met."""
    color, icon, word = ("green", "check", _("met")) if each.met else ("orange", "close", _("not met"))
    by = (_("{share:.1f} % to spare") if each.met else _("{share:.1f} % too much")).format(share=100 * abs(each.spare))
    figure = numbers.milliseconds(each.found) if each.budget.timed else f"{numbers.count(each.found)} {_unit(each)}"
    return f":{color}-badge[:material/{icon}: {word}] {figure} ({by})"


def _unit(each: Kept) -> str:
    return said(UNITS[each.budget.kind])
