"""What objects are made of: which are no more than their attributes, and which have their state elsewhere."""

from __future__ import annotations

import collections
import re
import sys
import types
import weakref
from enum import Enum
from typing import Any

import torch

from pruning_core.graph.modules import WEAK_PROXIES

# what is the same for everybody: never looked into
ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type, range, slice, types.ModuleType, types.CodeType, object}
    | {type(Ellipsis), type(NotImplemented), property, re.Pattern}
    | {torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format}
)
# a kind of container stands before those it is made of
CONTAINERS: tuple[Any, ...] = (
    *(collections.OrderedDict, collections.defaultdict, dict, collections.deque, list, set, frozenset, tuple),
)
OFTEN_EMPTY = frozenset({dict, list, set, collections.OrderedDict})
WEAK = frozenset({weakref.ref, *WEAK_PROXIES})
# handles to what exists once, whatever their attributes
SERVICES = frozenset(
    {"asyncio", "concurrent", "logging", "multiprocessing", "queue", "socket", "subprocess", "tempfile", "threading"}
)


def is_service(kind: type) -> bool:
    """Whether its instances exist once: what a copy of them did when it goes would be done to the original too."""
    is_handle = hasattr(kind, "__del__") or str(kind.__module__).partition(".")[0] in SERVICES
    return is_handle or issubclass(kind, type | Enum)


def is_plain(kind: type) -> bool:
    """Whether all of an instance's state lies in its ``__dict__`` and its slots: so it is with classes of Python code.

    Extensions give their objects other room, which only they can copy.
    """
    room = object.__basicsize__ + 16 + 8 * len(slots_of(kind))  # a dictionary, and a list of weak references
    if not kind.__dictoffset__ and not slots_of(kind):
        return False
    if kind.__itemsize__ or kind.__basicsize__ > room:
        return False
    try:
        object.__new__(kind)
    except TypeError:  # an extension, or an abstract class
        return False
    return True


def slots_of(kind: type) -> list[Any]:
    own = [c for c in kind.__mro__ if "__slots__" in vars(c)]
    return [d for c in own for d in vars(c).values() if isinstance(d, types.MemberDescriptorType)]


def has_state(function: types.FunctionType, seen: set[int]) -> bool:
    """Whether it closes over, or keeps, anything that is more than code. What is found by its name belongs to all."""
    if id(function) in seen or _is_global(function):
        return False
    seen.add(id(function))
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *function.__dict__.values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            continue
    return any(
        has_state(value, seen) if type(value) is types.FunctionType else not _is_code(type(value)) for value in held
    )


def _is_code(kind: type) -> bool:
    return kind in ATOMS or issubclass(kind, type)


def _is_global(function: types.FunctionType) -> bool:
    found: Any = sys.modules.get(function.__module__ or "")
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function
