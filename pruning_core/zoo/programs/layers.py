"""Layers that behave differently in training, put back where an exported program recorded one operator of theirs.

An exported program says "batch norm with these numbers, not in training". Its statistics could then never be trained,
and a network that is fine-tuned around frozen ones soon computes no numbers at all. So each such operator becomes the
layer it was recorded from; the other operators do not know the difference.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
DROPOUTS: dict[object, dict[int, type[nn.Module]]] = {
    aten.dropout.default: {},
    aten.native_dropout.default: {},
    aten.feature_dropout.default: {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d},
    aten.alpha_dropout.default: dict.fromkeys(range(9), nn.AlphaDropout),
    aten.feature_alpha_dropout.default: dict.fromkeys(range(9), nn.FeatureAlphaDropout),
}
# operator -> where it says whether it runs in training (None: never), its momentum and its epsilon
BATCH_NORMS: dict[object, tuple[int | None, int, int]] = {
    aten.batch_norm.default: (5, 6, 7),
    aten.native_batch_norm.default: (5, 6, 7),
    aten._native_batch_norm_legit.default: (5, 6, 7),
    aten._native_batch_norm_legit_no_training.default: (None, 5, 6),
}
LEAVES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Restored:
    """How many operators became layers; ``training`` when some were recorded in training mode."""

    norms: int = 0
    dropouts: int = 0
    training: bool = False


def restore_layers(program: fx.GraphModule) -> Restored:
    """Put batch norms and dropout of ``program`` back as modules, in place. What is unusual stays as it is."""
    norms = dropouts = 0
    training = False
    for node in list(program.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in BATCH_NORMS:
            found = _restore_norm(program, node)
            norms += found
            training |= found and _flag(node, BATCH_NORMS[node.target][0])
        elif node.target in DROPOUTS:
            training |= _flag(node, 2)
            dropouts += _restore_dropout(program, node, dropouts)
    program.graph.lint()
    program.recompile()
    return Restored(norms, dropouts, training)


def _restore_norm(program: fx.GraphModule, node: fx.Node) -> bool:
    x, *given = node.args[:5]
    _, momentum, eps = BATCH_NORMS[node.target]
    kind = NORMS.get(_rank(x))
    names = [_name(value) for value in given]
    if kind is None or not all(names[2:]) or any(v is not None and not n for v, n in zip(given, names)):
        return False
    if (names[0] is None) != (names[1] is None) or not _first_result_only(node):
        return False
    rate, offset = node.args[momentum], node.args[eps]
    if not isinstance(rate, float) or not isinstance(offset, float):
        return False
    tensors = {leaf: _tensor(program, name) for leaf, name in zip(LEAVES, names) if name}
    mean = tensors["running_mean"]
    usual = all(not name or name.rpartition(".")[2] == leaf for leaf, name in zip(LEAVES, names))
    owners = {name.rpartition(".")[0] for name in names if name}
    if len(owners) != 1:
        return False
    (owner,) = owners
    place = owner if usual and owner else f"{owner}.batch_norm".lstrip(".")
    if not isinstance(_submodule(program, place), nn.modules.batchnorm._BatchNorm):
        layer = kind(len(mean), offset, rate or None, affine=names[0] is not None)
        _take_over(layer, tensors, _submodule(program, place))
        _hang(program, place, layer)
    with program.graph.inserting_before(node):
        new = program.graph.call_module(place, (x,))
    _replace(program.graph, node, new)
    _stop_counting(program.graph, f"{place}.num_batches_tracked")
    return True


def _take_over(layer: nn.Module, tensors: dict[str, Tensor], shell: nn.Module | None) -> None:
    """The program's own tensors, and whatever else stood in their place."""
    for leaf, tensor in tensors.items():
        if isinstance(tensor, nn.Parameter):
            layer._parameters[leaf] = tensor
        else:
            layer._parameters.pop(leaf, None)
            layer._buffers[leaf] = tensor
    if shell is not None:
        for store in ("_parameters", "_buffers", "_modules"):
            held = getattr(layer, store)
            held.update({key: value for key, value in getattr(shell, store).items() if key not in tensors})
    layer.train(False)


def _restore_dropout(program: fx.GraphModule, node: fx.Node, number: int) -> bool:
    """As a layer of its own; a probability of zero does nothing, and is left out."""
    x, share = node.args[:2]
    if not isinstance(x, fx.Node) or not isinstance(share, int | float) or not _first_result_only(node):
        return False
    if share == 0:
        _replace(program.graph, node, x)
        return False
    kind = DROPOUTS[node.target].get(_rank(x), nn.Dropout)
    name = f"dropout_{number}"
    while hasattr(program, name):
        name += "_"
    program.add_module(name, kind(float(share)).train(False))
    with program.graph.inserting_before(node):
        new = program.graph.call_module(name, (x,))
    _replace(program.graph, node, new)
    return True


def _first_result_only(node: fx.Node) -> bool:
    """Whether nothing reads the statistics or the mask beside the result."""
    if len(node.target._schema.returns) == 1:  # type: ignore[union-attr]  # an operator of torch
        return True
    return all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)


def _replace(graph: fx.Graph, node: fx.Node, new: fx.Node) -> None:
    new.meta.setdefault("val", node.meta.get("val"))
    if isinstance(new.meta["val"], tuple | list):
        new.meta["val"] = new.meta["val"][0]
    for user in list(node.users):
        if user.target is operator.getitem and len(node.target._schema.returns) > 1:  # type: ignore[union-attr]
            user.replace_all_uses_with(new)
            graph.erase_node(user)
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _stop_counting(graph: fx.Graph, counter: str) -> None:
    """The layer counts its batches itself."""
    for node in list(graph.nodes):
        if node.op == "get_attr" and node.target == counter:
            for user in list(node.users):
                if not user.users and user.target is aten.add_.Tensor:
                    graph.erase_node(user)


def _flag(node: fx.Node, at: int | None) -> bool:
    return at is not None and len(node.args) > at and node.args[at] is True


def _rank(x: object) -> int:
    value = x.meta.get("val") if isinstance(x, fx.Node) else None
    return value.dim() if isinstance(value, Tensor) else -1


def _name(value: object) -> str | None:
    """The name of the tensor that a node fetches; None for what is fetched nowhere."""
    return str(value.target) if isinstance(value, fx.Node) and value.op == "get_attr" else None


def _tensor(program: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    found: Tensor = getattr(program.get_submodule(owner), leaf)
    return found


def _submodule(program: nn.Module, name: str) -> nn.Module | None:
    try:
        return program.get_submodule(name)
    except AttributeError:
        return None


def _hang(program: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    program.get_submodule(parent).add_module(leaf, layer)
