"""Parameters are looked at where they lie, so nothing may write there: who is about to is stopped before it happens."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Overwrites(Exception):
    """The network is about to change its own parameters; it must be given a copy of them."""


STATISTICS = frozenset({"running_mean", "running_var"})  # written while training, which their operators do not declare


Written = tuple[tuple[int, str, int | None], ...]


@lru_cache(maxsize=1024)
def written(op: Any) -> Written:
    """Positions and names of the arguments that an operator writes into, and where it is told whether to."""
    arguments = op._schema.arguments
    training = next((i for i, a in enumerate(arguments) if a.name == "training"), None)
    return tuple(
        (i, a.name, training if a.name in STATISTICS else None)
        for i, a in enumerate(arguments)
        if (a.alias_info is not None and a.alias_info.is_write) or a.name in STATISTICS
    )


def is_overwritten(arguments: Written, args: Any, kwargs: Any, memory: frozenset[int]) -> bool:
    """Whether one of these arguments lies in the memory that begins at one of these addresses."""
    for position, name, told in arguments:
        if told is not None and not args[told]:
            continue
        value = args[position] if position < len(args) else kwargs.get(name)
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, Tensor) and address(each) in memory:
                return True
    return False


def address(value: Tensor) -> int:
    """Where a tensor's memory begins; 0 when it has none."""
    try:
        return value.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # made of other tensors, sparse, packed
        return 0


class Guard(TorchDispatchMode):
    """Raises Overwrites where an operator would write into ``memory``; for code that runs outside a recording."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """See :class:`~pruning_core.graph.capturing.record.LabelMode`."""
        return False

    def __init__(self, memory: frozenset[int]) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_overwritten(written(func), args, kwargs or {}, self.memory):
            raise Overwrites
        return func(*args, **(kwargs or {}))
