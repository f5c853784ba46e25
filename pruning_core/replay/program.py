"""A recorded network as a program on one device and in one precision: its steps, its weights, and running them.

Which steps run, from what, and with which weights is for others to say: :mod:`replay` for one group of a sweep,
:mod:`planned` for any plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.measuring.forward import precision
from pruning_core.replay.convolution import FusedConvolution
from pruning_core.replay.fusion import fused
from pruning_core.replay.operators import Alive, run_step
from pruning_core.replay.steps import Operation, Operations, Register, Size, Weight, record_steps

# channels that one vector or tile of the CPU's kernels holds
_VECTOR = {torch.float32: 16 if torch.cpu._is_avx512_supported() else 8, torch.bfloat16: 32}


class Program:
    """The unpruned network as steps, with what it takes to run them without some units.

    ``dtype`` bfloat16 trades a few flipped predictions for speed; so does ``tile``, Winograd's algorithm for 3 x 3
    convolutions in float32, very few. ``recorded``: the steps, where they are known already. Raises NotReplayable when
    the network cannot be taken apart into steps.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        example: Tensor,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        tile: bool = False,
        recorded: Operations | None = None,
    ) -> None:
        self.network, self.device, self.dtype = network, torch.device(device), dtype
        recorded = (recorded or record_steps(model, network, example)).on(self.device)
        self.packs = self.device.type == "cpu" and _kernels_for(dtype)
        tensors = {n: self._placed(t) for n, t in recorded.tensors.items()}
        unit_of: dict[tuple[str, int], NDArray[np.int64]] = dict(network.layout.unit_of)
        self.steps: list[Operation | FusedConvolution] = fused(
            recorded, tensors, unit_of, pack=self.packs, tile=tile and self.packs and dtype == torch.float32
        )
        self.unit_of, self.tensors = unit_of, tensors
        self.convolutions = {s.weight: s for s in self.steps if isinstance(s, FusedConvolution)}
        self.biased = {s.bias: s for s in self.convolutions.values()}
        read = (s.args[1] for s in self.steps if isinstance(s, Operation) and s.name == "convolution")
        self.kernels = {*self.convolutions, *(w.name for w in read if isinstance(w, Weight))}
        self.made_of = {name: s.sources[0] for name, s in self.convolutions.items()}
        self.base = {n: self.packed(n, t) for n, t in tensors.items()}
        self.input, self.result = recorded.inputs[0], recorded.result
        self.sizes: dict[int, tuple[Size, ...]] = {}
        for step in self.steps:
            for out, sizes in zip(step.outs, step.sizes):
                self.sizes[out] = sizes
        self.everything = np.ones(recorded.units + 1, dtype=bool)

    @classmethod
    def trusted(
        cls, model: nn.Module, network: Network, example: Tensor, *, device: str, recorded: Operations | None = None
    ) -> Self:
        """One that computes as precisely as the network itself. Arguments and errors as for ``Replay``."""
        dtype = torch.float64 if precision(model) is torch.float64 else torch.float32
        return cls(model, network, example, device=device, dtype=dtype, recorded=recorded)

    @classmethod
    def quick(
        cls, model: nn.Module, network: Network, example: Tensor, *, device: str, recorded: Operations | None = None
    ) -> Self | None:
        """One that is quicker than ``trusted`` and less precise; None where nothing is quicker."""
        if precision(model) is not torch.float32 or device != "cpu":
            return None
        if bfloat16_is_fast(device):
            return cls(model, network, example, device=device, dtype=torch.bfloat16, recorded=recorded)
        tiling = cls(model, network, example, device=device, tile=True, recorded=recorded)
        return tiling if any(convolution.tiled for convolution in tiling.convolutions.values()) else None

    # -- preparing ----------------------------------------------------------------------------------------------------
    def _placed(self, t: Tensor) -> Tensor:
        t = t.to(self.device)
        return t.to(self.dtype) if t.is_floating_point() else t

    def packed(self, name: str, t: Tensor) -> Tensor:
        """Convolution weights and biases in the layout of the kernels that run them."""
        if self.packs and name in self.biased:
            return self.biased[name].pack_bias(t)
        if name not in self.kernels or t.dim() != 4:  # operators on other tensors may count on their order in memory
            return t
        t = t.contiguous(memory_format=torch.channels_last)
        user = self.convolutions.get(name)
        return user.pack(t) if self.packs and user is not None else t

    def made_of_others(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the steps, by name, that differ when ``parameters`` (whole) stand in place of the network's.

        For the convolutions that read them they are folded as the network's own were.
        """
        found = {name: self._placed(tensor) for name, tensor in parameters.items()}
        for name, convolution in self.convolutions.items():
            if not found.keys().isdisjoint(convolution.sources):
                found[name], found[convolution.bias] = convolution.fold.made({**self.tensors, **found})
        return found

    def aligned(self, group: str, drop: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Units to leave out and units to silence in place.

        Kernels are several times slower on channel counts that do not fill their vectors, so the number that is
        computed is rounded up; the surplus is silenced at its consumers, which gives the same scores.
        """
        size, vector = self.network.group(group).size, _VECTOR.get(self.dtype, 1) if self.packs else 1
        ids = self.network.unit_ids[group]
        if vector == 1 or self.network.layout.silent_producers.intersection(ids.tolist()):
            return tuple(drop), ()
        kept = size - len(drop)
        surplus = min(size, -(-kept // vector) * vector) - kept
        return tuple(drop[surplus:]), tuple(drop[:surplus])

    def index(self, flags: NDArray[np.bool_]) -> Tensor:
        return torch.as_tensor(np.flatnonzero(flags), device=self.device)

    def per_image(self, register: int) -> bool:
        """Whether the first dimension of a register counts images (a transposed weight has none)."""
        sizes = self.sizes.get(register)
        return sizes is None or (bool(sizes) and sizes[0].slope > 0)

    def bytes_per_image(self, registers: Iterable[int]) -> int:
        """What ``registers`` of the unpruned network take for one image."""
        each = [prod(s.fixed + s.slope for s in self.sizes[r]) for r in registers if r in self.sizes]
        return sum(each) * torch.empty(0, dtype=self.dtype).element_size()

    def run(
        self,
        order: Iterable[int],
        env: dict[int, Tensor],
        weights: dict[str, Tensor],
        batch: int,
        alive: Alive,
        keep: set[int],
    ) -> None:
        order = tuple(order)
        last: dict[int, int] = {}
        for i in order:
            for r in self.steps[i].reads:
                last[r] = i

        def fill(v: Register | Weight) -> Tensor:
            if isinstance(v, Register):
                return env[v.number]
            return weights[v.name] if v.name in weights else self.base[v.name]

        for i in order:
            step = self.steps[i]
            if isinstance(step, FusedConvolution):
                env[step.outs[0]] = step.run(fill)
            else:
                for out, value in zip(step.outs, run_step(step, fill, batch, alive)):
                    env[out] = value
            for r in step.reads:
                if last[r] == i and r not in keep:
                    env.pop(r, None)


def _kernels_for(dtype: torch.dtype) -> bool:
    """Whether the CPU library has kernels for this type here: older processors have none for bfloat16."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))
