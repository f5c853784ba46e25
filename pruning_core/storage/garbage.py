"""Taking away stored files that nothing refers to any more, beside whoever is storing and reading."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.cleaning import DAY_S, Cleaned

UNUSED_S = 30 * DAY_S  # after that a file goes that nothing refers to: a link that was handed out may still name it
DELETED_S = 3600.0  # and after that when what named it was deleted: somebody may have stored the same a moment ago


def collect(
    artifacts: Artifacts, referred: Callable[[], Container[str]], unused_s: float, among: Iterable[str] | None = None
) -> Cleaned:
    """Remove what nothing refers to and nobody has stored or read for ``unused_s`` seconds.

    ``referred``: the names of what is needed; asked only where something is old enough. ``among``: look at these alone.
    """
    old = [digest for digest in (artifacts.all() if among is None else among) if artifacts.idle_s(digest) > unused_s]
    if not old:
        return Cleaned()
    needed, gone = referred(), Cleaned()
    for digest in old:
        size_bytes = artifacts.size_bytes(digest)
        if digest in needed:
            if among is None:
                artifacts.touch(digest)  # in use: looked at again only after as long
        elif artifacts.discard(digest, unused_s):
            gone = Cleaned(gone.files + 1, gone.size_bytes + size_bytes)
    return gone
