"""What the proof of a removal says, in words."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.graph import Proof


def show(proof: Proof, of: str) -> None:
    """``of`` names the images that the proof looked at: "test images"."""
    difference = _("largest difference {most:.1e}, relative {relative:.1e}").format(
        most=proof.max_abs, relative=proof.max_rel
    )
    seen = _("{n} {of}, {dtype}").format(n=proof.images, of=of, dtype=proof.dtype)
    if proof.unproven:
        st.warning(f"**{literal(said(proof.unproven))}**", icon=":material/visibility_off:")
    elif proof.exact:
        st.success(
            _(
                "**Removed equals silenced.** The smaller network gives the outputs of the original with these "
                "channels silenced: {difference} ({seen}). Rounding, because sums are shorter."
            ).format(difference=difference, seen=seen),
            icon=":material/verified:",
        )
    else:
        st.warning(
            _(
                "**Approximate.** The plan cuts groups whose removal is not the same as silencing: {difference} "
                "({seen})."
            ).format(difference=difference, seen=seen),
            icon=":material/warning:",
        )
