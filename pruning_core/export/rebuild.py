"""From the downloaded weights and plan back to the pruned network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.export.document import plan_of
from pruning_core.export.weights import read_weights, sha256
from pruning_core.graph import capture
from pruning_core.graph.removing.repeat import repeated


def rebuild(model: nn.Module, document: Mapping[str, Any], weights: bytes) -> nn.Module:
    """The pruned network of a plan document, in eval mode, with the ``weights`` that came with it.

    ``model`` is the network before pruning, built anew; its own weights do not matter. Raises UserError when the
    weights belong to another document, or the plan to another network.
    """
    recorded = document.get("weights") or {}
    if recorded.get("sha256") != sha256(weights):
        raise UserError(
            "These weights are not the ones that this plan was saved with. Choose the pair of one download."
        )
    shapes = document["base"]["input_shapes"]
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    example = tuple(torch.zeros(*shape).to(reference) for shape in shapes)
    network = capture(model, example)
    # as it was made then: the numbers of this model say nothing of which form computes the same
    form, bold = document.get("form", "module"), document.get("bold", True)
    small = repeated(model, network, plan_of(document), form=form, bold=bold)
    try:
        small.load_state_dict(read_weights(weights))
    except RuntimeError as error:
        raise UserError(
            "These weights do not fit the network that the plan makes. Choose the network it was made for."
        ) from error
    return small.eval()
