"""A stand-in that runs like the caller's model, so that nothing of the model itself is ever touched."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from pruning_core.graph.copies import copied
from pruning_core.graph.modules import renew, turns_in_its_own_way

Change = Callable[[str, Tensor], Tensor]


def shadow(model: nn.Module, gradients: bool = False, change: Change | None = None) -> nn.Module:
    """A copy in eval mode. Parameters share the model's memory unless ``change`` replaces them; buffers are copied.

    ``gradients``: whether floating-point parameters require gradients in the copy.
    ``change`` maps the name and value of every parameter and buffer to the value the copy holds.
    Where a class has code of its own for the change into eval mode, which may write into them, they are copied too.
    """
    lent = not turns_in_its_own_way(model)
    exchanged: dict[int, Tensor] = {}
    for name, parameter in model.named_parameters():
        value = parameter.detach() if lent else parameter.detach().clone()
        value = change(name, value) if change else value
        exchanged[id(parameter)] = nn.Parameter(value, requires_grad=gradients and value.is_floating_point())
    for name, buffer in model.named_buffers():
        value = buffer.detach().clone()
        exchanged[id(buffer)] = change(name, value) if change else value
    new = copied(model, exchanged).eval()
    renew(new)  # what it kept of its tensors before
    return new
