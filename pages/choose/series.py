"""The first examples of data that are no pictures: the head of a table, or curves of sound."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.choose.pixels import enlarged, overlaid
from pages.ui import charts, plots
from pages.ui.language import _
from pages.ui.literal import named
from pruning_core.datasets import Dataset
from pruning_core.datasets.findings.numbers import Table
from pruning_core.datasets.targets import Labels
from pruning_core.errors import clip

ROWS, COLUMNS = 6, 40  # of the head of a table
CURVES, POINTS = 4, 600
VOLUMES, SLICE_PX = 6, 112


def draw(data: Dataset) -> None:
    match len(data.size):
        case 1:
            _head(data)
        case 4:
            _slices(data)
        case _:
            _curves(data)


def _head(data: Dataset) -> None:
    told = next((each for each in data.findings if isinstance(each, Table)), None)
    names = told.columns if told is not None else tuple(f"{at}" for at in range(data.size[0]))
    shown = {clip(name): data.images[:ROWS, at].tolist() for at, name in enumerate(names[:COLUMNS])}
    if data.labelled:
        target = clip(told.target) if told is not None else _("target")
        shown[f"→ {target}"] = [label_of(data, at) for at in range(min(ROWS, len(data)))]
    st.dataframe(pd.DataFrame(shown), hide_index=True)
    if data.size[0] > COLUMNS:
        st.caption(_("The first {shown} of {all} columns.").format(shown=COLUMNS, all=f"{data.size[0]:,}"))


def _curves(data: Dataset) -> None:
    first = [int((data.labels == label).nonzero()[0]) for label in data.labels.unique()] if data.classes else []
    chosen = [*first, *(at for at in range(len(data)) if at not in first)][:CURVES]  # of each class one
    for at, place in zip(chosen, st.columns(len(chosen))):
        flat = data.images[at].flatten()
        step = max(1, len(flat) // POINTS)
        alt = _("Curve of example {n}: {count} numbers.").format(n=at, count=f"{len(flat):,}")
        figure = charts.blank(alt, height=130, x_title="", y_title="")
        figure.add_scatter(x=list(range(0, len(flat), step)), y=flat[::step].tolist(), mode="lines")
        figure.update_layout(showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
        figure.update_xaxes(visible=False)
        with place:
            plots.show(figure, f"choose.series.{at}")
            st.caption(named(label_of(data, at)))


def _slices(data: Dataset) -> None:
    """The middle slice of volumes (C, D, H, W), its first channel, with the classes of its places over it."""
    middle, shown = data.size[1] // 2, data.images[:VOLUMES, 0]
    low, high = float(shown.min()), float(shown.max())
    with st.container(horizontal=True, gap="small"):
        for at, volume in enumerate(shown):
            pixels = (255 * (volume[middle] - low) / ((high - low) or 1)).byte()[None]
            if data.kind is Labels.MASKS:
                pixels = overlaid(pixels, data.labels[at, middle])
            caption = _("volume {n}, slice {middle} of {all}").format(n=at, middle=middle + 1, all=data.size[1])
            st.image(enlarged(pixels, SLICE_PX), caption=caption, width=SLICE_PX)


def label_of(data: Dataset, at: int) -> str:
    """What came with an example, in words."""
    if data.classes:
        return data.classes[int(data.labels[at])]
    first = [f"{value:.4g}" for value in data.labels[at].flatten()[:3].tolist()]
    return ", ".join(first) + (" …" if data.labels[at].numel() > 3 else "")
