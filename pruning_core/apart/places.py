"""Which runs happen apart from the server, and with what limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pruning_core.datasets import DataRef
from pruning_core.datasets.sample import ASSETS
from pruning_core.datasets.torchvision_sets import fetch_set
from pruning_core.isolation.limits import Limits
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.memory import free_memory
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.search import SearchRun, shared
from pruning_core.zoo import ModelRef

SHARE = 0.9  # of the memory that is free when a child starts
LEAST = 256 << 20  # bytes


def limits_of(spec: RunSpec, workspace: Workspace) -> Limits | None:
    """None keeps a run in the server: those on a GPU, where a second process has to load everything once more.

    A network that is a stranger's program is run apart whatever the device, and shut in: no network, no other
    process, and of the data directory what it is named, and the scratch files of this run.
    """
    if isinstance(spec, SearchRun) and shared(spec):
        return None  # a child is told no secret, and the address of a database is one
    if not foreign(spec):
        return Limits(memory=memory(), confined=False) if spec.queue() == "cpu" else None
    root = workspace.root
    return Limits(
        memory=memory() if spec.queue() == "cpu" else None,  # a GPU's driver reserves addresses without end
        readable=(str(ASSETS), str(root / "downloads"), str(root / "cache")),
        writable=(str(workspace.scratch(spec.key)),),
        named=(str(root / "artifacts"),),
    )


def provide(spec: RunSpec, workspace: Workspace, look: Callable[[], None]) -> None:
    """Fetch the data sets that a run which is shut in cannot fetch. Raises UserError when they cannot be had."""
    for ref in _named(spec, DataRef) if foreign(spec) else ():
        if ref.source == "torchvision":
            fetch_set(ref, workspace, lambda stage, done, total: look())


def foreign(spec: RunSpec) -> bool:
    """Whether it runs a program out of somebody's file."""
    return any(ref.foreign for ref in _named(spec, ModelRef))


def memory() -> int | None:
    """Bytes for one child, so that it is refused more before the system ends somebody; None where nobody knows."""
    free = free_memory()
    return None if math.isinf(free) else max(LEAST, int(SHARE * free))


Ref = TypeVar("Ref", ModelRef, DataRef)


def _named(value: Any, kind: type[Ref]) -> Iterator[Ref]:
    """Every reference of this kind anywhere in the fields of a run."""
    if isinstance(value, kind):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _named(getattr(value, field.name), kind)
    elif isinstance(value, tuple):
        for item in value:
            yield from _named(item, kind)
