"""Running somebody else's network without leaving a trace on it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph.modules import modules_by_name

# what the attributes of modules mostly are, and what needs no look inside
PLAIN = frozenset({bool, int, float, str, tuple, set, OrderedDict, type(None)})


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore modes, attributes, buffers and the random numbers afterwards, whatever happens inside."""
    modules = modules_by_name(model).values()
    attributes = [(m.__dict__, m.__dict__.copy()) for m in modules]
    buffers = {id(t): t for m in modules for t in m._buffers.values() if t is not None}
    devices = {t.device for m in modules for t in m._parameters.values() if t is not None}
    others = [v for _, held in attributes for v in held.values() if type(v) not in PLAIN]
    containers = [v for v in others if type(v) is dict or type(v) is list]
    filled = [(v, v.copy()) for v in containers if v]
    empty = [v for v in containers if not v]
    loose = [v for v in others if isinstance(v, Tensor)]
    values = [(t, t.detach().clone()) for t in [*buffers.values(), *loose]]
    try:
        with torch.random.fork_rng(devices=sorted(d.index for d in devices if d.type == "cuda")):
            yield
    finally:
        for now, held in attributes:
            if not _same(now, held):
                now.clear()
                now.update(held)
        for container, content in filled:
            if not _same(container, content):
                container.clear()
                container.update(content) if isinstance(container, dict) else container.extend(content)
        for container in empty:
            if container:  # a cache that a forward pass fills
                container.clear()
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
