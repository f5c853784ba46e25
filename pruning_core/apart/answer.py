"""A question to a child and its end: an answer that was looked at, or a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pruning_core.apart.places import memory
from pruning_core.datasets.sample import ASSETS
from pruning_core.errors import UserError, quoted
from pruning_core.isolation.limits import Limits
from pruning_core.runs.elsewhere import HOME
from pruning_core.runs.errand import OUTBOX
from pruning_core.runs.worker import spare_threads
from pruning_core.storage.plain import Forged
from pruning_core.storage.workspace import Workspace

if TYPE_CHECKING:
    from pruning_core.isolation.child import Child
    from pruning_core.isolation.children import Children

LOG = logging.getLogger("prunescope")
WALL_S = 900.0  # of one question
DISK = 32 << 30  # bytes: a copy of the largest file, and what is made of it
Answer = TypeVar("Answer")


def limits(workspace: Workspace, *readable: str, lasting: bool = False) -> Limits:
    """Shut in: of the data directory it may look at data, and at files whose names it was told."""
    root = workspace.root
    return Limits(
        memory=memory(),
        wall_s=None if lasting else WALL_S,
        disk=DISK,
        readable=(str(ASSETS), str(root / "downloads"), str(root / "cache"), *readable),
        named=(str(root / "artifacts"),),
        threads=spare_threads(),
    )


def asked(
    house: Children,
    task: str,
    given: dict[str, Any],
    workspace: Workspace,
    name: str,
    read: Callable[[Any, Child], Answer],
    *readable: str,
) -> Answer:
    """What ``read`` makes of the result of ``task`` and of the files in the child's folder, which then go.

    ``name``: what a person calls the file. ``read`` raises Forged or ValueError for what cannot be. Raises UserError
    as the task did, and when the child ended otherwise or lied.
    """
    given = {**given, "root": str(workspace.root)}
    with ended(name), house.begin(task, given, limits(workspace, *readable), workspace.root / HOME) as child:
        result = child.result()
        workspace.artifacts.take_over(child.folder / OUTBOX)
        return read(result, child)


@contextmanager
def ended(name: str) -> Iterator[None]:
    """Turn every end of a child that is no answer into a sentence about the file ``name``."""
    from pruning_core.isolation.child import Broke, Died

    try:
        yield
    except Died as died:
        raise UserError(
            f"{quoted(name)} ended its reader: {died.end.reason}. The server goes on. Send another file, or export "
            "the network again with the newest version of what made it."
        ) from died
    except MemoryError as error:
        raise UserError(
            f"{quoted(name)} needs more memory than there is for it. Send a smaller network, or smaller images."
        ) from error
    except Broke as broke:
        LOG.error("a child that had %s in hand: %s", quoted(name), broke.trace)
        raise UserError(
            f"Something unexpected went wrong with {quoted(name)}. The server's log has the details."
        ) from broke
    except (Forged, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        LOG.error("what a child said of %s was not taken", quoted(name), exc_info=error)
        raise UserError(
            f"{quoted(name)} ended its reader: what it answered is no answer. Send another file."
        ) from error
