"""How large a network gets, counted while it is built: a description of a kilobyte can ask for any memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules import module


class TooLarge(Exception):
    """What is being built has more numbers or layers than it may."""


@contextmanager
def limited(numbers: int, tables: int, layers: int) -> Iterator[None]:
    """Raise TooLarge as soon as modules that this thread builds meanwhile hold more numbers to train, or beside them,
    or are more, than that."""
    thread, left = threading.get_ident(), {"numbers": numbers, "tables": tables, "layers": layers}

    def count(what: str, more: int) -> None:
        if threading.get_ident() == thread:  # the hooks are the process's
            left[what] -= more
            if left[what] < 0:
                raise TooLarge(what)

    def weight(_module: Any, _name: str, value: Tensor | None) -> None:
        count("numbers", 0 if value is None else value.numel())

    def table(_module: Any, _name: str, value: Tensor | None) -> None:
        count("tables", 0 if value is None else value.numel())

    def layer(_module: Any, _name: str, _inner: Any) -> None:
        count("layers", 1)

    begun: list[tuple[Callable[..., Any], Callable[..., None]]] = [
        (module.register_module_parameter_registration_hook, weight),
        (module.register_module_buffer_registration_hook, table),
        (module.register_module_module_registration_hook, layer),
    ]
    handles = [register(hook) for register, hook in begun]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
