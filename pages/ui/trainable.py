"""Whether a network may be trained on the data on the desk, said before anybody waits for it."""

from __future__ import annotations

from pages.ui import state
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.studies.judging import judge
from pruning_core.zoo import ModelRef


def why_not(model: ModelRef, data: DataRef) -> str:
    """The sentence that says what to do instead; "" when it may.

    Something must be able to judge it on them as well. Raises UserError when either cannot be loaded.
    """
    loaded, (train, test) = state.loaded(model), state.splits(data)
    try:
        judge(loaded, test, data.measure)
        train.check_trainable()
    except UserError as error:
        return str(error)
    return ""
