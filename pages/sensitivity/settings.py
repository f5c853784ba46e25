"""What to sweep: the widgets, and the run they describe."""

from __future__ import annotations

import streamlit as st

from pages.ui import measured, recovery
from pages.ui.desk import Desk
from pages.ui.held_out import choose_images, looked_at
from pages.ui.language import N_, _, ngettext
from pages.ui.ranking import choose_criterion
from pages.ui.sweeps import judged_on
from pruning_core.analysis.sensitivity import Exact, Fast
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.methods.recoveries import JustCut, Mending, Recovery
from pruning_core.studies.sensitivity import RATIOS, SWEPT, SensitivityRun

EXACT, FAST = N_("Exact"), N_("Fast")
OFFERED = (0.05, *RATIOS, 0.95)
TOLERANCES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)


def ask(desk: Desk, network: Network, available: int) -> SensitivityRun:
    """The widgets. Raises UserError when they describe no sweep."""
    first, second, third = st.columns([5, 5, 6], gap="medium")
    with first:
        criterion = choose_criterion()
    with second:
        images = choose_images(available, "sensitivity")
        mode = _mode(measured.key_of(desk))
    with third:
        ratios = st.pills(
            _("Ratios"),
            OFFERED,
            selection_mode="multi",
            default=list(RATIOS),
            format_func=lambda ratio: f"{100 * ratio:.0f} %",
            key="sensitivity.ratios",
            wrap=True,
            help=_("The shares of a group's channels to remove, one after the other."),
            persist_state="session",
        )
        approximate = _approximate(network)
        after = _recovery(network, desk.data)
    if not ratios:
        raise UserError(_("No ratio is chosen, so there is nothing to measure. Choose at least one ratio."))
    return SensitivityRun(
        model=desk.model,
        data=judged_on(desk.data),
        criterion=criterion,
        ratios=tuple(sorted(ratios)),
        mode=mode,
        images=None if images >= available else images,
        approximate=approximate,
        recovery=after,
    )


def _recovery(network: Network, data: DataRef) -> Recovery:
    chosen = recovery.choose("sensitivity.recovery", default=JustCut, among=SWEPT).sized(network.cost().macs)
    if isinstance(chosen, Mending):
        st.caption(
            _(
                "In every cell each layer that reads the group is refitted by least squares, from what it "
                "read and wrote in the unpruned network on {looks_at} images of the training part."
            ).format(looks_at=looked_at(chosen, data))
        )
    return chosen


def _mode(judged: str) -> Exact | Fast:
    place = st.container(horizontal=True, vertical_alignment="bottom")
    mode = place.segmented_control(
        _("Mode"),
        (EXACT, FAST),
        format_func=_,
        default=EXACT,
        required=True,
        key="sensitivity.mode",
        help=_(
            "Exact: every cell on every image, predictions as the really smaller network makes them. Fast: a cell "
            "stops as soon as the 95 % interval of its drop is narrow enough, may be computed at lower precision, and "
            "is estimated where the cells on both sides lose about the same."
        ),
        persist_state="session",
        wrap=True,
    )
    if mode != FAST:
        return Exact()
    tolerance = place.select_slider(
        _("Interval"),
        TOLERANCES,
        Fast().tolerance,
        format_func=lambda share: measured.tolerance(judged, share),
        key="sensitivity.tolerance",
        persist_state="session",
    )
    return Fast(float(tolerance))


def _approximate(network: Network) -> bool:
    number = sum(not group.exact for group in network.groups)
    if not number:
        return False
    return bool(
        st.toggle(
            ngettext("Measure the {n} approximate group too", "Measure the {n} approximate groups too", number).format(
                n=number
            ),
            False,
            key="sensitivity.approximate",
            help=_("Removing their channels is not the same as silencing them, so they are left out at first."),
            persist_state="session",
            wrap=True,
        )
    )
