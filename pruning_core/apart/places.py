"""Which runs happen apart from the server, and with what limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from pruning_core.isolation.limits import Limits
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.memory import free_memory
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import ModelRef

SHARE = 0.9  # of the memory that is free when a child starts
LEAST = 256 << 20  # bytes


def limits_of(spec: RunSpec, workspace: Workspace) -> Limits | None:
    """None keeps a run in the server: those on a GPU, where a second process has to load everything once more.

    A network that is a stranger's program is run apart whatever the device, and shut in: no network, no other
    process, and of the data directory what it is named, and the scratch files of this run.
    """
    foreign = any(ref.foreign for ref in _models(spec))
    if not foreign:
        return Limits(memory=memory(), confined=False) if spec.queue() == "cpu" else None
    root = workspace.root
    return Limits(
        memory=memory() if spec.queue() == "cpu" else None,  # a GPU's driver reserves addresses without end
        readable=(str(root / "downloads"), str(root / "cache")),
        writable=(str(workspace.scratch(spec.key)),),
        named=(str(root / "artifacts"),),
    )


def memory() -> int | None:
    """Bytes for one child, so that it is refused more before the system ends somebody; None where nobody knows."""
    free = free_memory()
    return None if math.isinf(free) else max(LEAST, int(SHARE * free))


def _models(value: Any) -> Iterator[ModelRef]:
    """Every network that is named anywhere in the fields of a run."""
    if isinstance(value, ModelRef):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _models(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _models(item)
