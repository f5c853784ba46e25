"""Whether a network scales its pixels itself, as Keras's often do: then nobody else may."""

from __future__ import annotations

import torch
from torch import fx

from pruning_core.zoo.keras_files.modules import Scale, Standardise

BYTE = 255
# Of pixels of 0 to 255 a first layer makes numbers about 1 by a hundredth or less (1/255, 1/127.5, 1/58 for ImageNet's
# deviation); of those of 0 to 1 by 1 or more.
SMALL = 0.1


def own_scale(model: fx.GraphModule) -> int:
    """Up to which number pixels go into ``model``, 255 or 1, told by its first layer; 0 where that does not scale."""
    inputs = [node for node in model.graph.nodes if node.op == "placeholder"]
    node = inputs[0]
    while len(node.users) == 1 and len(inputs) == 1:
        (node,) = node.users
        if node.op == "call_module":
            layer = model.get_submodule(str(node.target))
            if isinstance(layer, Scale | Standardise):
                factor = layer.scale if isinstance(layer, Scale) else 1 / layer.spread
                return BYTE if factor.abs().max() < SMALL else 1
        if node.target is not torch.permute:
            return 0
    return 0
