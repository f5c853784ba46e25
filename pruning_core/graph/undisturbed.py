"""Running somebody else's network without leaving a trace on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph.modules import modules_by_name


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore modes, attributes, buffers and the random numbers afterwards, whatever happens inside."""
    attributes = [(m, dict(m.__dict__)) for m in modules_by_name(model).values()]
    buffers = {id(t): t for m, _ in attributes for t in m._buffers.values() if t is not None}
    devices = {t.device for m, _ in attributes for t in m._parameters.values() if t is not None}
    containers = [(v, v.copy()) for _, held in attributes for v in held.values() if type(v) in (dict, list)]
    loose = [v for _, held in attributes for v in held.values() if isinstance(v, Tensor)]
    values = [(t, t.detach().clone()) for t in [*buffers.values(), *loose]]
    try:
        with torch.random.fork_rng(devices=sorted(d.index for d in devices if d.type == "cuda")):
            yield
    finally:
        for module, held in attributes:
            if not _same(module.__dict__, held):
                module.__dict__.clear()
                module.__dict__.update(held)
        for container, value in containers:  # caches that a forward pass fills
            if (container or value) and not _same(container, value):
                container.clear()
                container.update(value) if isinstance(container, dict) else container.extend(value)
        with torch.no_grad():
            for tensor, value in values:
                vars(tensor).pop("_unit_labels", None)
                if not torch.equal(tensor, value):  # training statistics change without counting as a write
                    tensor.copy_(value)


def _same(now: Any, then: Any) -> bool:
    """Whether a list or dictionary holds the very same objects, under the same names."""
    if len(now) != len(then) or not all(map(is_, now, then)):  # in their order
        return False
    return not isinstance(now, dict) or all(map(is_, now.values(), then.values()))
