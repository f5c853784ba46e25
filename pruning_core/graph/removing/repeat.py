"""A removal made again: the same form, on a network with the same structure, whatever its numbers are."""

from __future__ import annotations

from torch import nn

from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.program import build_program
from pruning_core.graph.removing.surgery import cut


def repeated(model: nn.Module, network: Network, plan: Plan, *, form: str, bold: bool) -> nn.Module:
    """What :func:`pruning_core.graph.remove` made of a network like ``model``, where it said ``form`` and ``bold``.

    Nothing is proven: whoever repeats a removal has the numbers to compare with. Raises UserError when the plan does
    not fit, and whatever building a network by it raises.
    """
    network.validate(plan)
    if form == "program":
        return build_program(model, network, plan, network.example)
    return cut(model, network, plan, bold=bold)
