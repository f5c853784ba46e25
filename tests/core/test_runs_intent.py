"""The state machine of a running job: every transition, so that a new state cannot be forgotten in one of them."""

from __future__ import annotations

import pytest

from pruning_core.runs.intent import Intent

GO_ON, CANCEL, MAKE_ROOM, LEAVE, RETURN = Intent


@pytest.mark.parametrize(
    ("before", "cancelled", "resumed", "aside", "noticed"),
    [
        (GO_ON, CANCEL, GO_ON, MAKE_ROOM, GO_ON),
        (CANCEL, CANCEL, GO_ON, CANCEL, LEAVE),
        (MAKE_ROOM, CANCEL, MAKE_ROOM, MAKE_ROOM, RETURN),
        (LEAVE, LEAVE, RETURN, LEAVE, LEAVE),
        (RETURN, LEAVE, RETURN, RETURN, RETURN),
    ],
)
def test_every_transition(before: Intent, cancelled: Intent, resumed: Intent, aside: Intent, noticed: Intent) -> None:
    assert before.cancelled() is cancelled and before.resumed() is resumed
    assert before.aside() is aside and before.noticed() is noticed


def test_only_an_end_that_was_asked_for_counts_as_stopping() -> None:
    assert [intent for intent in Intent if intent.stopping] == [CANCEL, LEAVE]
