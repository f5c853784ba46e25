"""Running a network without leaving a trace, on it or on what all networks share."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.graph.modules import modules_by_name

# what the attributes of modules mostly are, and what needs no look inside
PLAIN = frozenset({bool, int, float, str, tuple, set, OrderedDict, type(None)})


def _set_determinism(flags: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])


# switches of PyTorch that belong to the thread or the process: how each is read, and set
SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda flags: torch.set_anomaly_enabled(*flags),
    ),
    (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
    (torch._C._get_cudnn_deterministic, torch._C._set_cudnn_deterministic),
    (
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _set_determinism,
    ),
)


# Random numbers of Python and of NumPy belong to the process. Who sets them, or watches whether a network draws some,
# does so alone: else a removal in one thread makes a capture in another believe that its network draws.
alone = threading.RLock()


def dice() -> tuple[Any, ...]:
    """Where the random numbers of Python and of NumPy stand; equal as long as nobody draws."""
    kind, key, *rest = np.random.get_state(legacy=True)
    return random.getstate(), (kind, np.asarray(key).tobytes(), *rest)


def _put_dice(before: tuple[Any, ...]) -> None:
    now = dice()
    if now[0] != before[0]:
        random.setstate(before[0])
    if now[1] != before[1]:
        kind, key, *rest = before[1]
        np.random.set_state((kind, np.frombuffer(key, np.uint32), *rest))


@contextlib.contextmanager
def steady_world(*tensors: Tensor) -> Iterator[None]:
    """Restore what networks share: random numbers (PyTorch's on the devices of ``tensors`` too, Python's, NumPy's), and
    the switches of PyTorch."""
    switches = [read() for read, _ in SWITCHES]
    with alone:
        drawn = dice()
    devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with alone:
            _put_dice(drawn)
        for (read, put), before in zip(SWITCHES, switches):
            if read() != before:
                put(before)


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore modes, attributes, buffers and what networks share afterwards, whatever happens inside.

    Parameters, and objects of other kinds that the model refers to, are not looked at: it must be a copy of our own.
    """
    modules = modules_by_name(model).values()
    attributes = [(m.__dict__, m.__dict__.copy()) for m in modules]
    buffers = {id(t): t for m in modules for t in m._buffers.values() if t is not None}
    parameters = [t for m in modules for t in m._parameters.values() if t is not None]
    others = [v for _, held in attributes for v in held.values() if type(v) not in PLAIN]
    containers = [v for v in others if type(v) is dict or type(v) is list]
    filled = [(v, v.copy()) for v in containers if v]
    empty = [v for v in containers if not v]
    loose = [v for v in others if isinstance(v, Tensor)]
    values = [(t, t.detach().clone()) for t in [*buffers.values(), *loose]]
    try:
        with steady_world(*parameters):
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
                if tensor.shape != value.shape:  # observers grow with what they see
                    tensor.resize_(value.shape)
                if not torch.equal(tensor, value):  # training statistics change without counting as a write
                    tensor.copy_(value)


def _same(now: Any, then: Any) -> bool:
    """Whether a list or dictionary holds the very same objects, under the same names."""
    if len(now) != len(then) or not all(map(is_, now, then)):  # in their order
        return False
    return not isinstance(now, dict) or all(map(is_, now.values(), then.values()))
