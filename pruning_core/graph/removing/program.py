"""The recorded operators as a module: the form a cut takes when the model's own code has sizes written into it.

The network is recorded at two batch sizes, so every number that grows with the batch is known to do so and the program
runs at any batch size. Sizes along removed units come from the labels. The tensors are slices of the original's, hung
under the same names on empty modules: nothing of the model's own code is copied but layers that act in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pruning_core.graph.capturing.follow import is_dropout
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import modules_by_name, named_tensors
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.emission import FACTORIES, SPECIAL
from pruning_core.graph.removing.emitter import BATCHES, Emitter
from pruning_core.graph.removing.surgery import resized, sliced_tensors
from pruning_core.graph.removing.two_recordings import two_takes


def build_program(
    model: nn.Module,
    network: Network,
    plan: Plan,
    arguments: tuple[Any, ...],
    changed: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """``changed``: what tensors are worth, where that is not what they hold.

    Raises CannotEmit (or whatever an operator raises) when the program cannot be written.
    """
    takes = two_takes(model, network, plan, arguments, BATCHES)
    tensors = sliced_tensors(named_tensors(model), network, plan, changed)
    program = Emitter(takes, _skeleton(model, tensors), SPECIAL, FACTORIES).emit()
    for name, tensor in tensors.items():  # also what no operator reads: its parameters are those of the network
        _put(program, name, tensor)
    return program


def _skeleton(model: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Empty modules that hold the tensors; batch norms and dropout are modules of their own kind."""
    root = nn.Module()
    for name, module in modules_by_name(model).items():
        if name and acts_in_training(module):
            held = {id(t): tensors[n] for n, t in _own(name, module).items() if n in tensors}
            new = copied(module, held)
            resized(module, new)
            new._forward_hooks.clear()  # what hooks did is recorded
            new._forward_pre_hooks.clear()
            _put(root, name, new)
    for name, tensor in tensors.items():
        _put(root, name, tensor)
    return root.train(model.training)


def acts_in_training(module: nn.Module) -> bool:
    """Whether a program calls it as a module: it does something else in training."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) or is_dropout(module)


def _own(name: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{leaf}": t for leaf, t in named_tensors(module).items()}


def _put(root: nn.Module, name: str, value: nn.Module | Tensor) -> None:
    """Hangs it where its dotted name says, unless something is there."""
    *parents, leaf = name.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root._modules[parent]  # type: ignore[assignment]  # no module is None here
    if leaf in root._modules or leaf in root._parameters or leaf in root._buffers:
        return
    if isinstance(value, nn.Module):
        root.add_module(leaf, value)
    elif isinstance(value, nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value)
