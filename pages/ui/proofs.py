"""What the proof of a removal says, in words."""

from __future__ import annotations

import streamlit as st

from pages.ui.literal import literal
from pruning_core.graph import Proof


def show(proof: Proof, of: str) -> None:
    """``of`` names the images that the proof looked at: "test images"."""
    difference = f"largest difference {proof.max_abs:.1e}, relative {proof.max_rel:.1e}"
    seen = f"{proof.images} {of}, {proof.dtype}"
    if proof.unproven:
        st.warning(f"**{literal(proof.unproven)}**", icon=":material/visibility_off:")
    elif proof.exact:
        st.success(
            f"**Removed equals silenced.** The smaller network gives the outputs of the original with these channels "
            f"silenced: {difference} ({seen}). Rounding, because sums are shorter.",
            icon=":material/verified:",
        )
    else:
        st.warning(
            f"**Approximate.** The plan cuts groups whose removal is not the same as silencing: {difference} ({seen}).",
            icon=":material/warning:",
        )
