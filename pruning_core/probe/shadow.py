"""A stand-in that runs like the caller's model, so that nothing of the model itself is ever touched."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import Tensor, nn

from pruning_core.errors import UserError

Change = Callable[[str, Tensor], Tensor]


def shadow(model: nn.Module, gradients: bool = False, change: Change | None = None) -> nn.Module:
    """A copy in eval mode. Parameters share the model's memory unless ``change`` replaces them; buffers are copied.

    ``gradients``: whether floating-point parameters require gradients in the copy.
    ``change`` maps the name and value of every parameter and buffer to the value the copy holds.
    Raises UserError when the model holds something that cannot be copied.
    """
    memo: dict[int, object] = {}
    for name, parameter in model.named_parameters():
        value = parameter.detach()
        value = change(name, value) if change else value
        memo[id(parameter)] = nn.Parameter(value, requires_grad=gradients and value.is_floating_point())
    for name, buffer in model.named_buffers():
        value = buffer.detach().clone()
        memo[id(buffer)] = change(name, value) if change else value
    try:
        return copy.deepcopy(model, memo).eval()
    except (RuntimeError, TypeError) as error:  # a tensor in the middle of a graph, an open file, a lock
        raise UserError(
            f"This network cannot be copied, so it cannot be looked at without changing it: {error} "
            "Remove what cannot be copied, or export the network and load the exported program."
        ) from error
