"""Which recovery follows a cut: one choice for every page, made of what the registry holds."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from pages.ui.language import N_, _, said
from pages.ui.widgets import knob_widgets
from pruning_core.knobs import knobs_of
from pruning_core.methods.recoveries import RECOVERIES, Mending, Recovery

KEY, NOW = "recovery", "recovery.now"
LESSON = N_(
    "The weights that read what is left matter as much as the choice of channels: on the demo networks, once they are "
    "refitted, even random channels come near the best criterion."
)


def now() -> Recovery:
    """What this visitor chose for cuts that are not trained afterwards."""
    found: Recovery = st.session_state.get(NOW, Mending())
    return found


def choose_now() -> Recovery:
    """The control behind `now`."""
    st.session_state[NOW] = choose()
    return now()


def choose(
    key: str = KEY,
    *,
    trains: bool = False,
    default: type[Recovery] = Mending,
    among: Collection[type[Recovery]] = RECOVERIES,
) -> Recovery:
    """One recovery and its hyper-parameters. `trains`: one of the trainings, else one of those that need no training.

    Pages that share `key` share the choice; it lasts for the session.
    """
    classes = {cls.card.key: cls for cls in among if cls.trains == trains}
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    wanted = left.segmented_control(
        _("Training") if trains else _("After the cut"),
        list(classes),
        default=default.card.key,
        required=True,
        format_func=lambda each: said(classes[each].card.name),
        key=key,
        persist_state="session",
        help=" ".join(f"**{said(cls.card.name)}**: {said(cls.card.idea)}" for cls in classes.values()),
        wrap=True,
    )
    chosen = classes[wanted or default.card.key]
    if not knobs_of(chosen):
        return chosen()
    with right.popover("", icon=":material/tune:", help=_("Hyper-parameters of the recovery"), wrap=True):
        return knob_widgets(chosen, key)
