"""The recorded operators as a module: the form a cut takes when the model's own code has sizes written into it.

The network is recorded at two batch sizes, so every number that grows with the batch is known to do so and the program
runs at any batch size. Sizes along removed units come from the labels.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.emission import FACTORIES, SPECIAL
from pruning_core.graph.removing.emitter import BATCHES, Emitter
from pruning_core.graph.removing.surgery import cut
from pruning_core.graph.removing.two_recordings import two_takes


def build_program(model: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...]) -> nn.Module:
    """Raises CannotEmit (or whatever an operator raises) when the program cannot be written."""
    takes = two_takes(model, network, plan, arguments, BATCHES)
    return Emitter(takes, cut(model, network, plan), SPECIAL, FACTORIES).emit()
