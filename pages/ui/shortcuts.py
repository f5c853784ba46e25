"""What becomes of channels that an addition couples: one choice for every page that makes a plan."""

from __future__ import annotations

import streamlit as st

from pruning_core.allocation.shortcuts import SHORTCUTS, Coupled, Shortcuts
from pruning_core.graph import Network


def choose(network: Network, key: str) -> Shortcuts:
    """Pages that share ``key`` share the choice; it lasts for the session. Says what it means for this network."""
    coupled = [group for group in network.groups if group.coupled]
    classes = {each.card.key: each for each in SHORTCUTS}
    wanted = st.segmented_control(
        "Residual connections", list(classes), default=Coupled.card.key, required=True,
        format_func=lambda each: classes[each].card.name, key=key, persist_state="session",
        help=" ".join(f"**{cls.card.name}**: {cls.card.idea}" for cls in classes.values()), wrap=True,
    )  # fmt: skip
    chosen = classes[wanted or Coupled.card.key]()
    if not coupled:
        st.caption("No addition couples channels of this network: it is the same either way.")
    elif whole := sum(chosen.leaves_whole(group) for group in network.groups):
        many = (
            f"{whole} of {len(network.groups)} groups keep" if whole > 1 else f"1 of {len(network.groups)} groups keeps"
        )
        st.caption(f"{many} all channels: an addition couples {'them' if whole > 1 else 'it'} with a shortcut.")
    return chosen
