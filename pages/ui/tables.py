"""A sensitivity table that a person brings: Distiller's or NNI's, instead of a sweep made here."""

from __future__ import annotations

import streamlit as st

from pages.ui.desk import Desk
from pages.ui.literal import literal
from pages.ui.numbers import percent
from pruning_core.allocation.tables import LARGEST, ReadTable, read_table
from pruning_core.errors import UserError
from pruning_core.graph import Network

KEY = "sensitivity.brought"
NAMED = 5  # layers in a sentence


def ask(network: Network, desk: Desk) -> ReadTable | None:
    """The table that is used; None where none was brought or it cannot be read, which is said."""
    with st.popover("Bring a table of Distiller or NNI", icon=":material/upload_file:", wrap=True):
        given = st.file_uploader(
            "Sensitivity table (CSV or JSON)", type=["csv", "json"], key=f"{KEY}.{desk.model.key}",
            help="Distiller: sensitivity.csv. NNI: what SensitivityAnalysis exports, or its dictionary as JSON.",
        )  # fmt: skip
        baseline = st.number_input(
            "Accuracy of the unpruned network, as the file counts it", 0.0, 100.0, None, key=f"{KEY}.baseline",
            help="Only where the file has no line of sparsity 0, as NNI's never has.",
        )  # fmt: skip
    if given is None:
        return None
    try:
        found = read_table(_text(given.getvalue()), network, baseline)
    except UserError as error:
        st.warning(literal(str(error)), icon=":material/block:")
        return None
    st.caption(f":material/upload_file: {literal(_told(found, given.name))}")
    return found


def _told(found: ReadTable, name: str) -> str:
    text = (
        f"Drops from {name}, a table of {found.source}: {found.layers} layers in {len(found.table)} groups, against an "
        f"unpruned accuracy of {percent(found.baseline)}. Measured elsewhere, not here; the file does not say on which "
        "data, nor whether filters or single weights were removed."
    )
    if found.whole:
        more = " …" if len(found.whole) > NAMED else ""
        text += f" These make no channels that can be cut, and stay: {', '.join(found.whole[:NAMED])}{more}."
    return text


def _text(data: bytes) -> str:
    """Raises UserError when it is none, or too long to be looked at."""
    if len(data) > LARGEST:
        raise UserError(f"A sensitivity table has at most {LARGEST >> 20} MiB. Choose another file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("This file is no text in UTF-8. Export the table again.") from None
