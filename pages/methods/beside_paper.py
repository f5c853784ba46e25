"""What the paper sets beside what is set here: every knob of a method, and what of its training the paper says."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.ui.language import _, said
from pruning_core.knobs import Choice, Range, Toggle, knobs_of
from pruning_core.methods.base import Method
from pruning_core.training.config import FineTune

COLUMNS = ("setting", "paper", "here")


def section(method: Method, config: FineTune) -> None:
    rows = table(method, config)
    if not rows.empty:
        st.dataframe(rows, hide_index=True, width="stretch", column_config=_columns(), height="content")


def _columns() -> dict[str, Any]:
    return {
        "setting": st.column_config.TextColumn(_("Setting")),
        "paper": st.column_config.TextColumn(_("In the paper")),
        "here": st.column_config.TextColumn(_("Here"), width="small", help=_("As it is set on this page.")),
    }


def table(method: Method, config: FineTune) -> pd.DataFrame:
    """`setting`, `paper`, `here`: one row per entry of the method's ``in_paper``, in its order."""
    own = {knob.name: knob for knob in knobs_of(type(method))}
    training = {knob.name: knob for knob in knobs_of(FineTune)}
    rows = [
        {
            "setting": _("Epochs in all") if each.knob == "epochs" else said((own | training)[each.knob].kind.label),
            "paper": said(each.text),
            "here": _text((own | training)[each.knob].kind, getattr(method if each.knob in own else config, each.knob)),
        }
        for each in method.in_paper
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _text(kind: Choice | Range | Toggle, value: Any) -> str:
    if isinstance(kind, Toggle):
        return _("on") if value else _("off")
    return f"{value:g}" if isinstance(value, float) else str(value)
