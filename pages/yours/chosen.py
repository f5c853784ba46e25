"""A table whose rows can be marked, and the button that deletes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from pages.ui.language import _
from pages.ui.numbers import size_bytes
from pruning_core.runs.jobs import Jobs

TURN = "yours.turn"  # another table once rows have gone: marks are numbers of rows


def facts(sizes: Sequence[int], since: Sequence[float]) -> dict[str, object]:
    """The columns that every table ends with. ``sizes`` in bytes, ``since`` in seconds since 1970."""
    return {
        _("Size, MB"): [size / 1e6 for size in sizes],
        _("Since (UTC)"): pd.to_datetime(list(since), unit="s").floor("min"),
    }


def rows(table: pd.DataFrame, *, key: str) -> list[int]:
    """The numbers of those that are marked."""
    event = st.dataframe(
        table, key=f"{key}.{st.session_state.get(TURN, 0)}", on_select="rerun", selection_mode="multi-row",
        hide_index=True, column_config={_("Size, MB"): st.column_config.NumberColumn(format="%.2f")},
    )  # fmt: skip
    return [row for row in event["selection"]["rows"] if row < len(table)]


def deletion(
    label: str, delete: Callable[[], None], marked: Sequence[int], *, key: str, jobs: Jobs, owner: str
) -> None:
    def click() -> None:
        before = jobs.ledger.used(owner)
        delete()
        st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
        freed = size_bytes(max(0, before - jobs.ledger.used(owner)))
        st.toast(_("Deleted. {size} count as yours no longer.").format(size=freed), icon=":material/delete:")

    words = label if marked else _("Mark rows to delete them")
    st.button(
        words, key=key, icon=":material/delete:", disabled=not marked, on_click=click, wrap=True,
        help=_("What is deleted cannot be brought back."),
    )  # fmt: skip
