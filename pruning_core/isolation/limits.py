"""What a child may use, and what it is asked to do: frozen, and plain JSON on its way to the child."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.storage.codec import Codec

GIVEN = "given.json"  # in the folder of a child
ORDER = 1 << 16  # bytes of an order at most
READY = b"ready"  # what a fork server says first
TEXT = 20_000  # characters of what a child says about itself: a traceback, a line for the log


@dataclass(frozen=True)
class Limits:
    """None means: as much as there is.

    memory: bytes beyond what a child starts with. processor_s, wall_s: seconds. disk: bytes of the files in its folder.
    confined: no network, no other process, and of the files only the code, its own folder, and what lies under
    ``readable`` and ``writable``. Files under ``named`` can be read by whoever knows their names; nobody can list them.
    threads: that torch may use. nice: added to the priority's number, so that the page goes first.
    """

    memory: int | None = None
    processor_s: int | None = None
    wall_s: float | None = None
    disk: int | None = None
    confined: bool = True
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    threads: int = 1
    nice: int = 5


@dataclass(frozen=True)
class Order:
    """``task`` names an entry of the fork server's table; ``folder`` is the child's own, and holds what it is given."""

    task: str
    folder: str
    limits: Limits


@dataclass(frozen=True)
class Death:
    """``status`` as ``os.wait`` gives it; ``why``: "memory", "time" or "disk" where the fork server ended the child."""

    status: int
    why: str = ""


ORDERS = Codec((Order, Limits))
DEATHS = Codec((Death,))
