"""A table that was sent: what its columns hold, and what is to be made of them, proposed and chosen."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.choose import inbox
from pages.ui.language import N_, _
from pages.ui.literal import literal, named
from pruning_core.datasets import tables
from pruning_core.datasets.columns import Column
from pruning_core.errors import clip

LOOKED = "choose.table.columns"
NOTHING = None  # the target of a table without one
TASKS = {"classes": N_("classes"), "numbers": N_("numbers")}


def is_table(sent: inbox.Sent) -> bool:
    return sent.name.lower().endswith(tables.KINDS)


def ask(sent: inbox.Sent) -> dict[str, Any] | None:
    """The fields of a reference that the person has chosen, once they say so. Raises UserError for what is no table."""
    columns = _looked(sent)
    by_name = {each.name: each for each in columns}
    st.dataframe(_frame(columns), hide_index=True, height=min(320, 38 + 35 * len(columns)))
    left, right = st.columns(2)
    names: list[str | None] = [*by_name, NOTHING]
    target = left.selectbox(
        _("Target: the column to be predicted"),
        names,
        len(columns) - 1,
        format_func=lambda name: _("no target: inputs alone") if name is None else literal(name),
        key=_key(sent, "target"),
    )
    task = ""
    if target is not None:
        with right:
            task = _task(sent, by_name[target])
    left_out = st.multiselect(
        _("Columns to leave out"), [name for name in by_name if name != target], key=_key(sent, f"out.{target}"),
        help=_("Such as numbers of rows, and whatever the network was not trained with."), wrap=True,
    )  # fmt: skip
    texts = [each.name for each in columns if each.texts and each.name not in (target, *left_out)]
    one_hot = bool(texts) and st.toggle(
        _("Texts become columns of 0 and 1"), key=_key(sent, "one_hot"), wrap=True,
        help=_("One column for each different text, in alphabetical order: {names}.").format(
            names=", ".join(map(named, texts[:3]))
        ),
    )  # fmt: skip
    if not st.button(_("Read the table so"), type="primary", key=_key(sent, "read"), wrap=True):
        return None
    return {"target": target, "task": task, "left_out": tuple(left_out), "one_hot": one_hot}


def _task(sent: inbox.Sent, column: Column) -> str:
    offered = list(TASKS) if not column.texts else ["classes"]
    return str(
        st.segmented_control(
            _("Its values are"),
            offered,
            default=column.task,
            required=True,
            format_func=lambda each: _(TASKS[each]) + (_(" (proposed)") if each == column.task else ""),
            key=_key(sent, f"task.{column.name}"),
            help=_("Two classes are also judged as yes or no, where the network gives one number."),
            wrap=True,
        )
    )


def _looked(sent: inbox.Sent) -> tuple[Column, ...]:
    held = st.session_state.get(LOOKED)
    if held is None or held[0] != sent:
        held = sent, tables.look(sent.path, sent.name)
        st.session_state[LOOKED] = held
    return held[1]


def _frame(columns: tuple[Column, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            _("column"): [clip(each.name) for each in columns],
            _("holds"): [each.kind for each in columns],
            _("different values"): [each.different for each in columns],
            _("empty cells"): [each.missing for each in columns],
            _("first value"): [clip(each.first) for each in columns],
        }
    )


def _key(sent: inbox.Sent, what: str) -> str:
    return f"choose.table.{sent.turn}.{what}"
