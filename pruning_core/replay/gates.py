"""First-order terms: what closing each channel would do to the class scores of each image, around a plan.

A gate is a factor on a channel, one per image, placed where the channel is read: closing it is exactly the removal.
Its gradient is taken at the plan, where some gates are closed already, so that channels can come back too.
Source: Molchanov et al. 2019 (arXiv 1906.10771), the gate variant; there for the loss of a batch, here for the scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pruning_core.graph import Plan
from pruning_core.replay.convolution import FusedConvolution
from pruning_core.replay.operators import run_step
from pruning_core.replay.planned import PlannedReplay
from pruning_core.replay.steps import Register, Weight

CLASSES = 4  # the true class and its strongest rivals; more of them changed estimates by less than half a point


@dataclass(frozen=True, eq=False)
class Expansion:
    """Around ``plan``: score of class c of image n under another plan is about ``scores + change of gates @ slopes``.

    The first of the C classes is the true one, the others are its strongest rivals at the plan.
    """

    plan: Plan
    scores: Tensor  # (n, C) float32
    slopes: Tensor  # (units, n, C) float32: by how much the scores rise when a gate opens

    def predicted(self, units: Tensor, change: Tensor) -> Tensor:
        """(n, C): with the gates of ``units`` (k,) changed by ``change`` (k,): -1 closes, +1 opens."""
        moved = change @ self.slopes[units].flatten(1)
        return self.scores + moved.view_as(self.scores)

    @staticmethod
    def joined(parts: list[Expansion]) -> Expansion:
        """Of several batches around the same plan."""
        return Expansion(
            parts[0].plan, torch.cat([p.scores for p in parts]), torch.cat([p.slopes for p in parts], dim=1)
        )


class Gates:
    """A network's steps with a gate in front of everything that reads a group's channels."""

    def __init__(self, replay: PlannedReplay) -> None:
        self.replay = replay
        # prepacked kernels know no gradient
        self.steps = [replace(s, packed=False) if isinstance(s, FusedConvolution) else s for s in replay.steps]
        self.units = len(replay.everything) - 1
        self.gated = [self._places(i) for i in range(len(self.steps))]
        self.last = {r: i for i, step in enumerate(self.steps) for r in step.reads}

    def _places(self, i: int) -> dict[tuple[int, int], Tensor]:
        """(register, dim) read by a step -> the gate of each position; the last gate is always open.

        A unit that meets itself, as in a product of queries and keys, has one gate: two would count it twice.
        """
        here = np.zeros(self.units + 1, dtype=bool)
        for key in self.replay.flow.consumed[i]:
            here[self.replay.network.unit_ids[key]] = True
        found = {}
        for r in self.steps[i].reads:
            for dim, size in enumerate(self.replay.sizes.get(r, ())):
                if dim and self.replay.per_image(r) and size.units is not None and here[size.units].any():
                    at = np.where(here[size.units], size.units, self.units)
                    found[r, dim] = torch.as_tensor(at, device=self.replay.device)
                    here[size.units] = False
        return found

    def expand(self, x: Tensor, labels: Tensor, plan: Plan) -> Expansion:
        """First-order terms of a batch (n, C, H, W), by one forward and ``CLASSES`` backward passes.

        ``plan`` may only cut groups that are exact.
        """
        with torch.inference_mode(False), torch.enable_grad():
            alive = torch.as_tensor(self.replay.network.keep(plan), device=self.replay.device)
            gates = alive.float().repeat(len(x), 1).requires_grad_()
            scores = self._scores(x, gates)
            true = labels.to(scores.device)[:, None]
            rivals = scores.detach().scatter(1, true, -torch.inf).topk(min(CLASSES, scores.shape[1]) - 1).indices
            chosen = scores.gather(1, torch.cat([true, rivals], dim=1))  # (n, C)
            slopes = [
                torch.autograd.grad(each.sum(), gates, retain_graph=True)[0][:, : self.units].T
                for each in chosen.unbind(1)
            ]
        return Expansion(plan, chosen.detach().float().cpu(), torch.stack(slopes, dim=2).float().cpu())

    def _scores(self, x: Tensor, gates: Tensor) -> Tensor:
        replay = self.replay
        x = x.to(replay.device, replay.dtype)
        env = {replay.input: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x}
        for i, step in enumerate(self.steps):
            read = {r: env[r] for r in step.reads}
            for (r, dim), at in self.gated[i].items():
                shape = [len(x), *(len(at) if d == dim else 1 for d in range(1, read[r].dim()))]
                read[r] = read[r] * gates[:, at].to(replay.dtype).view(shape)

            def fill(v: Register | Weight, read: dict[int, Tensor] = read) -> Tensor:
                return read[v.number] if isinstance(v, Register) else replay.tensors[v.name]

            if isinstance(step, FusedConvolution):
                env[step.outs[0]] = step.run(fill)
            else:
                env.update(zip(step.outs, run_step(step, fill, len(x), replay.everything)))
            for r in step.reads:
                if self.last[r] == i and r != replay.result:
                    env.pop(r, None)
        return env[replay.result].float()
