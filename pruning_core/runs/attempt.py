"""One attempt at a run: drive the generator, and turn its end into a state and a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from pruning_core.errors import UserError
from pruning_core.runs.events import Event
from pruning_core.runs.view import State
from pruning_core.storage.memory import out_of_memory
from pruning_core.storage.trouble import sentence_of

NO_MEMORY = "The memory was not enough for this run. Choose a smaller batch or fewer images, then try again."


def attempt(
    start: Callable[[], Iterator[Event]], record: Callable[[Event], bool], log: logging.Logger, reference: str
) -> tuple[State, str | None]:
    """Consume ``start()`` until it ends, fails, or ``record`` answers False (a cancel).

    Returns DONE, CANCELLED or FAILED, the last with a sentence for the page. Tracebacks go to ``log`` alone, under
    ``reference``. Nothing is raised, so that the worker outlives whatever a run does.
    """
    try:
        events = iter(start())
        try:
            for event in events:
                if not record(event):
                    return State.CANCELLED, None
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()  # runs the generator's finally clauses, which remove hooks and free memory
    except BaseException as error:
        return State.FAILED, sentence(error, log, reference)
    return State.DONE, None


def sentence(error: BaseException, log: logging.Logger, reference: str) -> str:
    """What a person reads of ``error``; what is not meant for them goes to the log."""
    if isinstance(error, UserError):
        return str(error)
    log.error("run %s failed", reference, exc_info=error)
    if out_of_memory(error):
        return NO_MEMORY
    if known := sentence_of(error):
        return known
    return (
        f"Something unexpected went wrong ({type(error).__name__}). "
        f"The server's log file has the details under {reference}."
    )
