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
COLUMNS, CODES = N_("columns of 0 and 1"), N_("whole numbers")
TASKS = {"classes": N_("classes"), "numbers": N_("numbers")}


def is_table(sent: inbox.Sent) -> bool:
    return sent.name.lower().endswith(tables.KINDS)


def ask(sent: inbox.Sent, whole_inputs: bool) -> dict[str, Any] | None:
    """The fields of a reference that the person has chosen, once they say so. Raises UserError for what is no table.

    ``whole_inputs``: the network on the desk looks something up by whole numbers.
    """
    columns = _looked(sent)
    by_name = {each.name: each for each in columns}
    st.dataframe(_frame(columns), hide_index=True, height=min(320, 38 + 35 * len(columns)))
    part = _part(sent, columns)
    left, right = st.columns(2)
    names: list[str | None] = [*(name for name in by_name if name != part), NOTHING]
    target = left.selectbox(
        _("Target: the column to be predicted"),
        names,
        max(0, len(names) - 2),
        format_func=lambda name: _("no target: inputs alone") if name is None else literal(name),
        key=_key(sent, f"target.{part}" if part else "target"),
    )
    task, more = "", list[str]()
    if target is not None:
        with right:
            task = _task(sent, by_name[target])
        if task == "numbers":
            more = _more(sent, [each.name for each in columns if not each.texts and each.name != target], target)
    used = [each for each in (target, part, *more) if each]
    left_out = st.multiselect(
        _("Columns to leave out"), [name for name in by_name if name not in used],
        key=_key(sent, f"out.{'.'.join(used)}"),
        help=_("Such as numbers of rows, and whatever the network was not trained with."), wrap=True,
    )  # fmt: skip
    texts = [each.name for each in columns if each.texts and each.name not in (*used, *left_out)]
    become = _become(sent, texts, whole_inputs) if texts else ""
    if not st.button(_("Read the table so"), type="primary", key=_key(sent, "read"), wrap=True):
        return None
    return {
        "target": target, "targets": tuple(more), "part": part, "task": task, "left_out": tuple(left_out),
        "one_hot": become == COLUMNS, "coded": become == CODES,
    }  # fmt: skip


def _part(sent: inbox.Sent, columns: tuple[Column, ...]) -> str:
    """The column that says which rows are for testing, "" for none; nothing is asked where there is no such column."""
    offered = [each.name for each in columns if each.parts]
    if not offered:
        return ""
    return str(
        st.selectbox(
            _("Rows for training and for testing"),
            [*offered, ""],
            format_func=lambda name: (
                _("as the column {name} says (proposed)").format(name=literal(name)) if name else _("divided by chance")
            ),
            key=_key(sent, "part"),
        )
    )


def _more(sent: inbox.Sent, names: list[str], target: str) -> list[str]:
    """Further targets, where a network gives several numbers."""
    return st.multiselect(
        _("More targets, if the network gives several numbers"), names, format_func=literal,
        key=_key(sent, f"more.{target}"), help=_("In the order of its outputs, the target above first."), wrap=True,
    )  # fmt: skip


def _become(sent: inbox.Sent, texts: list[str], whole_inputs: bool) -> str:
    return str(
        st.segmented_control(
            _("Texts become"),
            (COLUMNS, CODES),
            default=CODES if whole_inputs else COLUMNS,
            required=True,
            format_func=_,
            key=_key(sent, "texts"),
            help=_(
                "Columns: one for each different text, in alphabetical order. Whole numbers: its place in that order, "
                "from 0 on, for networks that look it up. In both cases as the network was trained: {names}."
            ).format(names=", ".join(map(named, texts[:3]))),
            wrap=True,
        )
    )


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
            _("holds"): [_("texts") if each.texts else _("numbers") for each in columns],
            _("different values"): [each.different for each in columns],
            _("empty cells"): [each.missing for each in columns],
            _("first value"): [clip(each.first) for each in columns],
        }
    )


def _key(sent: inbox.Sent, what: str) -> str:
    return f"choose.table.{sent.turn}.{what}"
