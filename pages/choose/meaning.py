"""What the outputs of a network of unknown architecture are: guessed from what they look like, and asked about."""

from __future__ import annotations

import streamlit as st

from pages.choose.restating import restate
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import Meaning, said_of

SPOKEN = {
    Meaning.SCORES: N_("scores of classes, before any softmax"),
    Meaning.LOG_PROBABILITIES: N_("logarithms of the probabilities of classes"),
    Meaning.PROBABILITIES: N_("probabilities of classes"),
    Meaning.YES_OR_NO: N_("a separate probability for each class"),
    Meaning.EMBEDDING: N_("an embedding"),
    Meaning.NUMBERS: N_("coordinates or other numbers"),
    Meaning.MAP: N_("numbers at every place"),
}


def ask(desk: Desk, model: LoadedModel) -> None:
    """Nothing where the architecture says it, and where there is nothing to choose between."""
    if model.looks is None or model.outputs.places or model.outputs.width == 1:
        return
    offered = tuple(each for each in Meaning if each is not Meaning.MAP)
    found = model.outputs
    words, choice = st.columns([3, 2], vertical_alignment="center")
    words.markdown(
        _(":small[:gray[Outputs]]  \nTaken for {found} ({evidence}).").format(
            found=said(str(found)), evidence=literal(said(found.evidence))
        )
        + ("" if found.meaning.of_classes else _(" No accuracy is measured of them."))
    )
    chosen = choice.selectbox(
        _("What its outputs are"),
        offered,
        offered.index(found.meaning),
        format_func=lambda each: _(SPOKEN[each]),
        key=f"choose.meaning.{model.ref.key[:12]}",
        help=_(
            "The file does not say it. Accuracy is measured where the largest number names a class, and only there."
        ),
    )
    if chosen is not None and chosen is not found.meaning:
        with plain_errors():
            restate(desk, said_of(desk.model, chosen))
