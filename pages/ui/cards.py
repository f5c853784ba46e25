"""A number on the page, with where it comes from. Every page uses these and nothing else to show a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.changes import Change
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.provenance import Provenance

LEAST_PX, MOST_PX, GAP_PX = 152, 1000, 16  # a card with the longest number; a row on a usual screen; between cards


def row(count: int) -> list[DeltaGenerator]:
    """Places for so many cards side by side, and below each other where the page is too narrow: no number is cut."""
    width = max(LEAST_PX, (MOST_PX - GAP_PX * (count - 1)) // count)
    with st.container(horizontal=True, gap="small"):
        return [st.container(width=width, height="stretch") for _ in range(count)]


def pair(within: int) -> list[DeltaGenerator]:
    """The same for two cards in a column that is `within` pixels wide on a usual screen.

    Each is as high as it needs: what stretches inside a column that it wraps in would cover what comes below.
    """
    with st.container(horizontal=True, gap="small"):
        return [st.container(width=(within - GAP_PX) // 2) for _ in range(2)]


def badge(provenance: Provenance) -> str:
    """The small coloured word, as Markdown for any label or caption."""
    return f":{provenance.mark.color}-badge[{_(provenance.mark)}]"


def number(
    label: str,
    value: str,
    provenance: Provenance,
    *,
    detail: str = "",
    delta: str | None = None,
    delta_color: Literal["normal", "inverse", "off"] = "normal",
    change: Change | None = None,
    help: str | None = None,
    container: DeltaGenerator | None = None,
    **metric: Any,
) -> None:
    """One figure in a frame: label, value, change, and below it the mark with `detail` (or the provenance's brief).

    `change`: of an accuracy, instead of `delta`; what is inside the noise has no colour, and `detail` ends in that. The
    tooltip says what the number is (`help`) and how it was come by.
    """
    place = (container or st).container(border=True, height="stretch", gap="xxsmall")
    if change is not None and change.difference:
        delta, delta_color = change.delta, change.colour
        detail = f"{detail or literal(provenance.brief)}{change.noise}"
    source = literal(said(provenance.sentence))
    tooltip = f"{help}\n\n{source}" if help else source
    # Streamlit reads the sign of a change from an ASCII minus only.
    place.metric(label, value, delta and delta.replace("\u2212", "-"), delta_color, help=tooltip, **metric)
    place.markdown(_small(provenance, detail or literal(provenance.brief)))


def pending(label: str, why: str, *, help: str | None = None, container: DeltaGenerator | None = None) -> None:
    """The frame of a figure that is not there (yet): a dash, and in words what it waits for."""
    place = (container or st).container(border=True, height="stretch", gap="xxsmall")
    place.metric(label, None, help=help)
    place.caption(why)


def source_line(*provenances: Provenance, container: DeltaGenerator | None = None) -> None:
    """Below a table or a chart: where its numbers come from."""
    (container or st).markdown("  \n".join(_small(p, literal(said(p.facts))) for p in _unique(provenances)))


def _small(provenance: Provenance, text: str) -> str:
    """Not a caption: that fades whatever is in it, and the mark could hardly be read."""
    return f":small[{badge(provenance)}{f' :gray[{text}]' if text else ''}]"


def _unique(provenances: Iterable[Provenance]) -> tuple[Provenance, ...]:
    return tuple(dict.fromkeys(provenances))
