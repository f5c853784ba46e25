"""Cutting: a new, smaller module of the same classes, with sliced tensors and updated attributes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pruning_core.graph.attention import HeadAttention
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.record import named_tensors


def sliced(tensor: Tensor, kept: dict[int, Tensor]) -> Tensor:
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


def cut(model: nn.Module, network: Network, plan: Plan) -> nn.Module:
    """A deep copy with every shrinking parameter and buffer sliced and the attributes of standard layers updated.

    Shared tensors stay shared, frozen parameters stay frozen. The result may still not run, when the model's own code
    has sizes written into it; :func:`pruning_core.graph.remove` checks that and falls back to a program.
    """
    clone = copy.deepcopy(model)
    kept = kept_positions(network, plan)
    tensors = named_tensors(clone)
    replaced: dict[int, Tensor] = {}
    for name, dims in kept.items():
        old = tensors[name]
        new = sliced(old.detach(), dims)
        replaced[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new
    old_shapes: dict[str, tuple[int, ...]] = {name: tuple(t.shape) for name, t in tensors.items()}
    for module in clone.modules():
        for store in (module._parameters, module._buffers):
            for key, value in store.items():
                if value is not None and id(value) in replaced:
                    store[key] = replaced[id(value)]  # type: ignore[assignment]  # the stores' value types differ
    _update_attributes(clone, network, kept, old_shapes)
    return clone


def _update_attributes(clone: nn.Module, network: Network, kept: dict[str, dict[int, Tensor]],
                       old_shapes: dict[str, tuple[int, ...]]) -> None:
    for name, module in list(clone.named_modules()):
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            if any(key.startswith(prefix) for key in kept):
                _replace(clone, name, HeadAttention.from_pruned(module))
        elif any(key.startswith(prefix) and "." not in key[len(prefix):] for key in kept):
            _update(module, prefix, network, old_shapes)


def _update(module: nn.Module, prefix: str, network: Network, old_shapes: dict[str, tuple[int, ...]]) -> None:
    """Attributes that PyTorch's own layers keep beside their tensors."""
    weight = getattr(module, "weight", None)
    match module:
        case nn.modules.conv._ConvNd():
            assert isinstance(weight, Tensor)
            old = old_shapes.get(f"{prefix}weight", tuple(weight.shape))
            if module.groups > 1 and network.layout.grouping.get(f"{prefix}weight") == "whole":
                module.groups = weight.shape[0] * module.groups // old[0]
            first, second = weight.shape[0], weight.shape[1] * module.groups
            if module.transposed:
                module.in_channels, module.out_channels = first, second
            else:
                module.out_channels, module.in_channels = first, second
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.Bilinear():
            module.out_features, module.in1_features, module.in2_features = module.weight.shape
        case nn.Embedding():
            module.embedding_dim = module.weight.shape[1]
        case nn.modules.batchnorm._NormBase():
            sizes = [t.shape[0] for t in (module.weight, module.running_mean) if t is not None]
            module.num_features = sizes[0]
        case nn.GroupNorm():
            channels = module.weight.shape[0]
            if module.num_groups == module.num_channels:
                module.num_groups = channels
            module.num_channels = channels
        case nn.LayerNorm() | nn.RMSNorm():
            if isinstance(weight, Tensor):
                module.normalized_shape = tuple(weight.shape)
        case nn.PReLU():
            module.num_parameters = module.weight.shape[0]
        case nn.RNNBase():
            module.hidden_size = getattr(module, "weight_hh_l0").shape[1]
            module.input_size = getattr(module, "weight_ih_l0").shape[1]
            module._init_flat_weights() if hasattr(module, "_init_flat_weights") else module.flatten_parameters()


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, module)
