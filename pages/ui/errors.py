"""Where an exception becomes something a person can read."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pages.ui import repair
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.storage.artifacts import DamagedError
from pruning_core.storage.trouble import sentence_of

LOG = logging.getLogger("prunescope")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show a `UserError` as its sentence, and a full disk or the like; everything else is our bug and goes on."""
    try:
        yield
    except UserError as error:
        st.error(literal(said(str(error))), icon=":material/error:")
        if isinstance(error, DamagedError):
            repair.offer(error)
    except (OSError, sqlite3.Error) as error:
        sentence = sentence_of(error)
        if not sentence:
            raise
        LOG.error("the data directory", exc_info=error)
        st.error(literal(said(sentence)), icon=":material/error:")


def report(error: Exception) -> str:
    """Log a bug with its traceback and return the sentence for the visitor, who gets a number and no paths.

    What a disk says is no bug, and has a sentence of its own.
    """
    number = secrets.token_hex(3)
    LOG.error("incident %s", number, exc_info=error)
    return sentence_of(error) or _(
        "Something broke on our side (incident {number}). Your model, plan and finished runs are kept. "
        "Reload the page to go on; whoever runs this server finds the details under that number in its log."
    ).format(number=number)
