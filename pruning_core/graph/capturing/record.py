"""What is recorded of a network that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.graph.capturing.passage import Passage
from pruning_core.graph.capturing.remarks import Remark
from pruning_core.graph.capturing.throws import Throws
from pruning_core.graph.labelling.contract import Ledger
from pruning_core.graph.labelling.labels import Labelled, Origin
from pruning_core.graph.labelling.rules import Call
from pruning_core.graph.labelling.universe import Universe
from pruning_core.graph.modules import modules_by_name, tensors_of


@dataclass
class Recording:
    """The labels of one or more forward passes of the same network."""

    universe: Universe = field(default_factory=Universe)
    ledger: Ledger = field(default_factory=Ledger)
    parameters: dict[str, Labelled] = field(default_factory=dict)  # parameters and buffers by first name
    used: dict[str, int] = field(default_factory=dict)  # name -> position of its first use
    passages: list[Passage] = field(default_factory=list)
    sized: list[tuple[str, Labelled]] = field(default_factory=list)  # module -> tensor whose sizes its code may know
    calls: list[Call] = field(default_factory=list)  # only when kept for a program
    modules: dict[str, nn.Module] = field(default_factory=dict)
    # tensors of the original by identity: code that looks the network up somewhere reads those
    outside: dict[int, str] = field(default_factory=dict)
    sizing: set[tuple[str, str]] = field(default_factory=set)  # module, attribute: numbers that were given as sizes
    remarks: list[Remark] = field(default_factory=list)
    operators: int = 0
    trail: list[str] = field(default_factory=list)  # the operators by name, as they were called
    throws: Throws | None = None  # where it is watched who draws random numbers

    @cached_property
    def role_flags(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For every label, whether it was consumed, and whether it was produced; to be asked when all is recorded."""
        flags = []
        for planes in (self.ledger.consumed, self.ledger.produced):
            flag = np.zeros(self.universe.size, dtype=bool)
            for plane in planes:
                flag[plane.ravel()] = True
            flags.append(flag)
        return flags[0], flags[1]


def start(model: nn.Module) -> tuple[Recording, dict[str, Tensor]]:
    """A recording with fresh labels on every dimension of every parameter and buffer."""
    recording = Recording(modules=modules_by_name(model))
    tensors = tensors_of(recording.modules)
    for name, tensor in tensors.items():
        # integer buffers are tables of positions, not values per channel
        shape = tuple(tensor.shape)
        recording.parameters[name] = (
            recording.universe.fresh_tensor(shape, Origin.PARAMETER, zero=True)
            if tensor.is_floating_point()
            else Labelled(shape)
        )
    return recording, tensors
