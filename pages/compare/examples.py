"""The examples whose score fell most, where an answer is no class that flips: by what each is worth by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from pages.compare.measured import Row
from pages.ui import cards, measured, pictures, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.pictures import Caption
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.parts import fallen

SHOWN, SIDE = 24, 104
SAME = 1e-9  # a smaller change of a value is rounding
NUMBERS = 8  # of a target in a cell of the table


def section(desk: Desk, one: Row, two: Row) -> None:
    """``one`` is pinned. Both were measured, and are not the same."""
    before, after, accuracy = one.marks, two.marks, one.accuracy
    if before is None or after is None or accuracy is None:
        return
    test, key = state.splits(desk.data)[1], accuracy.measure
    lost = fallen(before, after)
    if lost is None:
        told = _(
            "{measure} is a value of many images together, so none of them has a score of its own. Choose another "
            "measure above to see which lost most."
        )
        st.caption(told.format(measure=said(measured.measure(key).title)))
        return
    if len(test) != len(lost):
        st.caption(_("The images on the desk are others than those that were measured."))
        return
    worse, better = int((lost > SAME).sum()), int((lost < -SAME).sum())
    words = _("{worse:,} of {n:,} examples score worse than with the pinned network, {better:,} score better.")
    st.markdown(words.format(worse=worse, n=len(lost), better=better))
    worst = [int(at) for at in np.argsort(-lost, kind="stable")[: min(SHOWN, worse)]]
    if not worst:
        return
    values = (_each(before), _each(after))
    if test.pictures:
        _gallery(test, worst, values, key)
    else:
        _table(test, worst, values, key)
    st.caption(
        _("{measure} of each example by itself; the {n} that lost most, the worst first.").format(
            measure=literal(said(measured.measure(key).name)), n=len(worst)
        )
    )
    cards.source_line(provenance.measured(accuracy.dataset, images=accuracy.images))


def _each(marks: Marks) -> NDArray[np.float64]:
    found = marks.measure.each(marks.rows)
    assert found is not None  # or nothing had fallen
    return found.double().numpy()


def _gallery(test: Dataset, worst: list[int], values: tuple[NDArray[np.float64], ...], key: str) -> None:
    captions = [
        [
            Caption(_("pinned: {value}").format(value=measured.written(key, values[0][at]))),
            Caption(_("other: {value}").format(value=measured.written(key, values[1][at]))),
        ]
        for at in worst
    ]
    st.html(pictures.gallery(test, worst, captions, SIDE))


def _table(test: Dataset, worst: list[int], values: tuple[NDArray[np.float64], ...], key: str) -> None:
    columns: dict[str, object] = {_("Example"): worst}
    if test.kind is Labels.NUMBERS:
        columns[_("Target")] = [_numbers(test, at) for at in worst]
    for title, each in ((_("Pinned"), values[0]), (_("Other"), values[1])):
        columns[title] = [measured.written(key, each[at]) for at in worst]
    columns[_("Change")] = [measured.difference(key, values[1][at] - values[0][at]) for at in worst]
    st.dataframe(pd.DataFrame(columns), hide_index=True)


def _numbers(test: Dataset, at: int) -> str:
    flat = test.labels[at].double().flatten().tolist()
    return ", ".join(f"{each:.4g}" for each in flat[:NUMBERS]) + (" …" if len(flat) > NUMBERS else "")
