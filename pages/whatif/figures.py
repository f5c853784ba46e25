"""What the plan costs, in closed form, while it is being made."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, history, numbers, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _
from pages.ui.literal import named
from pages.whatif import live, plans
from pruning_core.graph import Network
from pruning_core.zoo import LoadedModel

COUNTED = provenance.derived(N_("counted in closed form from the shapes that remain; exact, applying changes nothing"))
UNIT = "whatif.unit"
MULTIPLE = "whatif.multiple"
UNITS = ("MACs", "FLOPs")
OPERATIONS = N_("For one image. A multiply-accumulate (MAC) is two floating-point operations (FLOPs).")


def introduction(desk: Desk, model: LoadedModel) -> None:
    more = _("Nothing") if desk.model.base is None else _("Nothing more")
    st.markdown(
        _(
            "Move the sliders: what **{title}** would cost stands here at once. {more} is cut until it "
            "is applied below; then both networks are measured on the test images."
        ).format(title=named(model.title), more=more)
    )
    if desk.model.base is not None and st.button(
        _("Back to the network it came from"),
        key="whatif.back",
        icon=":material/arrow_back:",
        wrap=True,
    ):
        state.choose_model(desk.model.base)
        st.rerun()


def compute_unit() -> tuple[str, int]:
    """(name, how many of them a multiply-accumulate is)."""
    return ("FLOPs", 2) if st.session_state.get(UNIT) == "FLOPs" else ("MACs", 1)


def multiple() -> int:
    """What sliders round kept channels up to."""
    return int(st.session_state.get(MULTIPLE) or 1)


def row(network: Network, desk: Desk) -> tuple[DeltaGenerator, bool]:
    """Returns where the accuracy stands, and whether the visitor asks to measure it."""
    before, after = network.cost(), network.cost(desk.plan)
    unit, factor = compute_unit()
    sizes = sum(group.size for group in network.groups)
    kept = sizes - sum(len(units) for units in desk.plan.values())
    places = cards.row(5)
    shown = (
        (unit, factor * before.macs, factor * after.macs, numbers.count, _(OPERATIONS)),
        (_("Parameters"), before.parameters, after.parameters, numbers.count, None),
        (
            _("Size"),
            before.size_bytes,
            after.size_bytes,
            numbers.size_bytes,
            _("Parameters and buffers as they are stored."),
        ),
        (_("Channels"), sizes, kept, numbers.count, _("Of all groups together.")),
    )
    for place, (name, old, new, written, help) in zip(places, shown):
        cards.number(
            name,
            written(new),
            COUNTED,
            detail=_("of {whole}").format(whole=written(old)),
            delta=None if old == new else numbers.percent(new / max(old, 1) - 1),
            delta_color="inverse",
            help=help,
            container=place,
        )
    slot = places[4].empty()
    with st.container():  # always there, so that what follows keeps its place
        asked = live.show(network, desk, slot) and live.ask(network)
    return slot, asked


def requested(network: Network) -> None:
    found = plans.cuts(network, state.desk().plan, history.asked(), multiple())
    st.dataframe(
        plans.plan_table(found),
        hide_index=True,
        height=min(640, 38 + 35 * len(found)),
        column_config={
            "group": st.column_config.TextColumn(_("Group"), pinned=True),
            "channels": _("Channels"),
            "kept": _("Kept"),
            "asked": st.column_config.NumberColumn(_("Requested"), format="percent"),
            "actual": st.column_config.NumberColumn(
                _("Actual"), format="percent", help=_("Whole channels only, rounded down; one is always kept.")
            ),
            "exact": st.column_config.CheckboxColumn(_("Exact")),
        },
    )
    cards.source_line(COUNTED)
