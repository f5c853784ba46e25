"""Whether a network may be trained on the data on the desk, said before anybody waits for it."""

from __future__ import annotations

from pages.ui import measured, state
from pages.ui.desk import Desk
from pages.ui.language import said
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.studies.judging import judge
from pruning_core.zoo import ModelRef


def moves(desk: Desk) -> bool:
    """Whether its images may be shifted and mirrored for a training: nothing but pictures, and what is told of them
    whole."""
    return measured.measure(measured.key_of(desk)).decides and state.splits(desk.data)[1].pictures


def why_not(model: ModelRef, data: DataRef) -> str:
    """The sentence that says what to do instead, in the visitor's language; "" when it may.

    Something must be able to judge it on them as well. Raises UserError when either cannot be loaded.
    """
    loaded, (train, test) = state.loaded(model), state.splits(data)
    try:
        judge(loaded, test, data.measure)
        train.check_trainable()
    except UserError as error:
        return said(str(error))
    return ""
