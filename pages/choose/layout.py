"""How a detector's outputs are boxes: proposed from what they look like, confirmed here, where images have boxes."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.choose.restating import restate
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels
from pruning_core.numeric.detections import Layout
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import laid_out

FINISHED = N_("a box, its score, its class")
ROWS, COLUMNS = N_("(images, candidates, numbers)"), N_("(images, numbers, candidates)")
ORDERS = (ROWS, COLUMNS, FINISHED)
BOXES = {True: N_("two corners"), False: N_("centre and size")}
UNITS = {True: N_("in pixels"), False: N_("from 0 to 1")}
SCORES = {False: N_("probabilities"), True: N_("before a sigmoid")}


def ask(desk: Desk, model: LoadedModel, data: Dataset) -> None:
    """Nothing where the images have no boxes, or the outputs cannot be any."""
    if data.kind is not Labels.BOXES or len(model.outputs.places) != 1:
        return
    now = model.outputs.layout or Layout()
    proposed = _("by what they look like for random images; look whether it is so")
    st.markdown(_(":small[:gray[Outputs as boxes]]  \nRead as below, {how}.").format(how=proposed))
    first, second, third, fourth = st.columns([6, 4, 3, 4])
    key = f"choose.layout.{model.ref.key[:12]}"
    order = first.selectbox(
        _("Order"), ORDERS, 2 if now.finished else int(now.columns), format_func=_, key=f"{key}.order",
        help=_("How candidates lie in the output; in the last case the network itself leaves out doubles."),
    )  # fmt: skip
    corners = second.selectbox(
        _("A box is"), tuple(BOXES), tuple(BOXES).index(now.corners), format_func=lambda each: _(BOXES[each]),
        key=f"{key}.corners", help=_("The first four numbers."),
    )  # fmt: skip
    pixels = third.selectbox(
        _("It is measured"), tuple(UNITS), tuple(UNITS).index(now.pixels), format_func=lambda each: _(UNITS[each]),
        key=f"{key}.pixels", help=_("In pixels of the network's input, or as shares of its sides."),
    )  # fmt: skip
    logits = fourth.selectbox(
        _("Scores are"), tuple(SCORES), tuple(SCORES).index(now.logits), format_func=lambda each: _(SCORES[each]),
        key=f"{key}.logits",
    )  # fmt: skip
    said = Layout(order == COLUMNS, corners, pixels, logits, order == FINISHED)
    if said != replace(now, columns=now.columns and not now.finished) or model.outputs.layout is None:
        if model.outputs.layout is None and not st.button(_("They are boxes so"), key=f"{key}.say", wrap=True):
            return
        with plain_errors():
            restate(desk, laid_out(desk.model, said))
