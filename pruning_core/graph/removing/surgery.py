"""Cutting: a new, smaller module of the same classes, with sliced tensors and updated attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph.copies import copied
from pruning_core.graph.modules import modules_by_name, named_tensors, renew
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.attention import HeadAttention

Kept = Mapping[str, Mapping[int, Tensor]]  # tensor -> dimension -> positions kept


def sliced(tensor: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
    """The kept positions along each dimension, in a new contiguous tensor."""
    for dim, positions in kept.items():
        tensor = tensor.index_select(dim, positions.to(tensor.device))
    return tensor.contiguous()


def kept_positions(network: Network, plan: Plan) -> dict[str, dict[int, Tensor]]:
    """For every tensor that shrinks: dimension -> positions kept."""
    found: dict[str, dict[int, Tensor]] = {}
    for (name, dim), positions in network.kept(plan).items():
        found.setdefault(name, {})[dim] = torch.as_tensor(positions)
    return found


def sliced_tensors(
    tensors: Mapping[str, Tensor], network: Network, plan: Plan, changed: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Copies of them as they are after the plan. ``changed``: what some are worth, where that is not what they hold."""
    kept = kept_positions(network, plan)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, tensor in tensors.items():
            value = (changed or {}).get(name, tensor).detach()
            new = sliced(value, kept[name]) if name in kept else value.clone()
            found[name] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
    return found


def cut(model: nn.Module, network: Network, plan: Plan, *, bold: bool = False) -> nn.Module:
    """A copy with every shrinking parameter and buffer sliced and the attributes of modules updated.

    Shared tensors stay shared, frozen parameters stay frozen. ``bold`` also changes numbers that a module keeps when it
    works with several dimensions of that size, of which one shrinks. The result may still not run, when the model's own
    code has sizes written into it; :func:`pruning_core.graph.remove` checks that and falls back to a program.
    """
    tensors = named_tensors(model)
    exchanged: dict[int, Tensor] = {}
    with torch.no_grad():
        for name, dims in kept_positions(network, plan).items():
            new = sliced(tensors[name].detach(), dims)
            parameter = isinstance(tensors[name], nn.Parameter)
            exchanged[id(tensors[name])] = nn.Parameter(new, tensors[name].requires_grad) if parameter else new
    clone = copied(model, exchanged)
    _update_sizes(clone, network, plan, bold=bold)
    names = {id(t): name for name, t in tensors.items()}
    for (name, old), module in zip(modules_by_name(model).items(), modules_by_name(clone).values()):
        packed = isinstance(old, nn.MultiheadAttention)
        own = [*(old.parameters() if packed else old._parameters.values()), *old._buffers.values()]
        if not any(id(t) in exchanged for t in own):
            continue
        if isinstance(module, nn.MultiheadAttention):
            _replace(clone, name, HeadAttention.from_pruned(module))
        else:
            how = network.layout.grouping.get(names.get(id(getattr(old, "weight", None)), ""))
            resized(old, module, whole_groups=how == "whole")
    renew(clone)  # what was computed from tensors of the old sizes
    return clone


def resized(old: nn.Module, new: nn.Module, *, whole_groups: bool = False) -> None:
    """Attributes that PyTorch's own layers keep beside their tensors."""
    match new:
        case nn.modules.conv._ConvNd():
            if whole_groups and isinstance(old, nn.modules.conv._ConvNd):
                new.groups = new.groups * new.weight.shape[0] // old.weight.shape[0]
            first, second = new.weight.shape[0], new.weight.shape[1] * new.groups
            new.in_channels, new.out_channels = (first, second) if new.transposed else (second, first)
        case nn.Linear():
            new.out_features, new.in_features = new.weight.shape
        case nn.Bilinear():
            new.out_features, new.in1_features, new.in2_features = new.weight.shape
        case nn.Embedding() | nn.EmbeddingBag():
            new.embedding_dim = new.weight.shape[1]
        case nn.modules.batchnorm._NormBase():
            new.num_features = next(t.shape[0] for t in (new.weight, new.running_mean) if t is not None)
        case nn.GroupNorm():
            if new.num_groups == new.num_channels:
                new.num_groups = new.weight.shape[0]
            new.num_channels = new.weight.shape[0]
        case nn.LayerNorm() | nn.RMSNorm():
            new.normalized_shape = tuple(new.weight.shape)
        case nn.PReLU():
            new.num_parameters = new.weight.shape[0]
        case nn.RNNBase():
            hidden, read = new.get_parameter("weight_hh_l0"), new.get_parameter("weight_ih_l0")
            new.hidden_size, new.input_size = hidden.shape[1], read.shape[1]
            new.flatten_parameters()
        case nn.RNNCellBase():
            new.hidden_size, new.input_size = new.weight_hh.shape[1], new.weight_ih.shape[1]


def _update_sizes(clone: nn.Module, network: Network, plan: Plan, *, bold: bool) -> None:
    """Numbers that a module keeps and whose tensors shrink: `num_heads`, the shape of an `nn.Unflatten`, ….

    A number is changed when the dimensions of that size in the module's own forward become the same other size. Where
    some of a module's numbers were seen given as sizes, equal ones that were not are something else, and stay.
    Whether that is what the code means is decided by the proof.
    """
    counts = network.counts(plan)
    modules = modules_by_name(clone)
    for name, sizes in network.layout.sizes.sized.items():
        became = {
            n: {int(counts[c]) if c >= 0 else n for c in numbers} - ({n} if bold else set())
            for n, numbers in sizes.items()
        }
        changed = {n: new.pop() for n, new in became.items() if len(new) == 1}
        held = modules[name].__dict__
        sizing = {key for key in held if (name, key) in network.layout.sizing}
        explained = {v for key in sizing for v in _numbers(held[key])}
        for key, value in list(held.items()):
            new = changed if key in sizing else {n: m for n, m in changed.items() if n not in explained}
            if type(value) is int and new.get(value, value) != value:
                held[key] = new[value]
            elif type(value) in (tuple, list, torch.Size) and value and all(type(v) is int for v in value):
                held[key] = type(value)(new.get(v, v) for v in value)


def _numbers(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, module)
