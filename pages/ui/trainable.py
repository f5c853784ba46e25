"""Whether the data on the desk may be trained on, said before anybody waits for it."""

from __future__ import annotations

from pages.ui import state
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError


def why_not(data: DataRef) -> str:
    """The sentence that says what to do instead; "" when they may. Raises UserError when they cannot be loaded."""
    train, _ = state.splits(data)
    try:
        train.check_trainable()
    except UserError as error:
        return str(error)
    return ""
