"""A stranger's network as the server holds it: its numbers under their names, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.storage.plain import Forged


@dataclass(frozen=True)
class Names:
    """What each tensor of a network is; ``passing``: buffers that its state dict leaves out."""

    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    passing: tuple[str, ...]


class Held(nn.Module):
    """Modules that are places for names. Whoever looks at weights finds them; nobody can run it."""

    def forward(self, *given: Any) -> NoReturn:
        """Raises UserError: the program that belongs to these numbers runs in a process of its own."""
        raise UserError(
            "This network is a program out of a file, which runs in a process of its own and never in the server. "
            "Ask for it there."
        )


def names_of(model: nn.Module) -> Names:
    """By identity, as the module lists them: a shared tensor stands under its first name."""
    kept = model.state_dict()
    buffers = tuple(name for name, _ in model.named_buffers())
    return Names(
        tuple(name for name, _ in model.named_parameters()),
        tuple(name for name in buffers if name in kept),
        tuple(name for name in buffers if name not in kept),
    )


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Everything that :func:`held` needs, under the names of :func:`names_of`."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def held(names: Names, tensors: Mapping[str, Tensor]) -> Held:
    """A network that has these tensors. Raises Forged when a name is missing or cannot be one."""
    root = Held()
    for name in (*names.parameters, *names.buffers, *names.passing):
        if name not in tensors:
            raise Forged("a tensor is missing")
        *path, last = name.split(".")
        try:
            place = _place(root, path)
            if name in names.parameters:
                tensor = tensors[name]
                place.register_parameter(last, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))
            else:
                place.register_buffer(last, tensors[name], persistent=name not in names.passing)
        except (KeyError, TypeError, AttributeError) as error:
            raise Forged("this cannot be the name of a tensor") from error
    return root.eval()


def _place(root: Held, path: list[str]) -> nn.Module:
    module: nn.Module = root
    for part in path:
        inside = module._modules.get(part)
        if inside is None:
            inside = Held()
            module.add_module(part, inside)
        module = inside
    return module
