"""Which functions of PyTorch a network's own code calls: operators do not show everything."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from pruning_core.graph.capturing.label_mode import LabelMode
from pruning_core.graph.capturing.numbers import SIZING, placed_in

# what gives a tensor's numbers to code that is not PyTorch's
LEAVING: dict[Any, str] = {
    Tensor.numpy: "numpy",
    Tensor.__array__: "numpy",
    Tensor.__dlpack__: "dlpack",
    Tensor.tolist: "tolist",
}


class Functions(TorchFunctionMode):
    """Beside a :class:`LabelMode`.

    A list or a NumPy array is filled without an operator, and whether a number that was read inside a function came out
    of it is known when it returns. Which of a module's numbers are given as sizes, operators do not know at all.
    """

    def __init__(self, mode: LabelMode) -> None:
        super().__init__()
        self.mode = mode

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mode = self.mode
        how = LEAVING.get(func)
        if how is not None and mode.follows_data(args[0]):
            mode.leaves(how, args[0])
        if getattr(func, "__name__", "") in SIZING:
            for number in placed_in((*args, *kwargs.values()) if kwargs else args):
                mode.recording.sizing |= number.places
        before, mode.called, mode.read = mode.called, func, ""
        try:
            result = func(*args, **(kwargs or {}))
        finally:
            mode.called = before
        if mode.read and isinstance(result, int | float | complex):  # not the text of a tensor that is printed
            mode.decides(mode.read)
        return result
