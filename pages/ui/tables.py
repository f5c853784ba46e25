"""A sensitivity table that a person brings: Distiller's or NNI's, instead of a sweep made here."""

from __future__ import annotations

import streamlit as st

from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.numbers import percent
from pruning_core.allocation.tables import LARGEST, ReadTable, read_table
from pruning_core.errors import UserError
from pruning_core.graph import Network

KEY = "sensitivity.brought"
NAMED = 5  # layers in a sentence


def ask(network: Network, desk: Desk) -> ReadTable | None:
    """The table that is used; None where none was brought or it cannot be read, which is said."""
    with st.popover(_("Bring a table of Distiller or NNI"), icon=":material/upload_file:", wrap=True):
        given = st.file_uploader(
            _("Sensitivity table (CSV or JSON)"), type=["csv", "json"], key=f"{KEY}.{desk.model.key}",
            help=_("Distiller: sensitivity.csv. NNI: what SensitivityAnalysis exports, or its dictionary as JSON."),
        )  # fmt: skip
        baseline = st.number_input(
            _("Accuracy of the unpruned network, as the file counts it"), 0.0, 100.0, None, key=f"{KEY}.baseline",
            help=_("Only where the file has no line of sparsity 0, as NNI's never has."),
        )  # fmt: skip
    if given is None:
        return None
    try:
        found = read_table(_text(given.getvalue()), network, baseline)
    except UserError as error:
        st.warning(literal(said(str(error))), icon=":material/block:")
        return None
    st.caption(f":material/upload_file: {literal(_told(found, given.name))}")
    return found


def _told(found: ReadTable, name: str) -> str:
    text = _(
        "Drops from {name}, a table of {source}: {layers} layers in {groups} groups, against an unpruned accuracy of "
        "{accuracy}. Measured elsewhere, not here; the file does not say on which data, nor whether filters or single "
        "weights were removed."
    ).format(
        name=name, source=found.source, layers=found.layers, groups=len(found.table), accuracy=percent(found.baseline)
    )
    if found.whole:
        more = " …" if len(found.whole) > NAMED else ""
        text += " " + _("These make no channels that can be cut, and stay: {names}.").format(
            names=", ".join(found.whole[:NAMED]) + more
        )
    return text


def _text(data: bytes) -> str:
    """Raises UserError when it is none, or too long to be looked at."""
    if len(data) > LARGEST:
        raise UserError(
            _("A sensitivity table has at most {largest} MiB. Choose another file.").format(largest=LARGEST >> 20)
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(_("This file is no text in UTF-8. Export the table again.")) from None
