"""Gradients and curvature of the objectives that criteria read, averaged over batches."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning_core.graph import Group
from pruning_core.numeric.weight_hash import signs
from pruning_core.probe.activity import Average
from pruning_core.probe.objectives import Objective, Task
from pruning_core.probe.places import Tensors, members_at, rows
from pruning_core.probe.site import Asking, Need
from pruning_core.probe.smooth import TwiceDifferentiable

CURVATURE_BATCH = 4  # images: differentiating twice holds several times the memory of a backward pass
Gradients = dict[str, Tensor]


class Slopes:
    """Gradients of one objective with respect to the weights that its criteria read."""

    def __init__(
        self, objective: Objective, groups: Sequence[Group], tensors: Tensors, criteria: Sequence[Asking], task: Task
    ) -> None:
        self.objective, self.task = objective, task
        self.criteria = [c for c in criteria if c.needs.gradients and c.objective == objective]
        self.groups = groups
        self.tensors = tensors
        self.needs = Need.NOTHING
        for criterion in self.criteria:
            self.needs |= criterion.needs
        self.names = self._names(self.criteria)
        # what is differentiated twice must not depend on the criteria that happen to run beside
        self.bent = self._names([c for c in self.criteria if Need.CURVATURE in c.needs])
        if Need.PUSH in self.needs:  # the gradient flow of the whole network
            everything = [n for n, t in tensors.items() if t.requires_grad and t.ndim > 1]
            self.names = list(dict.fromkeys([*self.names, *everything]))
        self.mean: Gradients = {}
        self.curvature: Gradients = {}
        self.push: Gradients = {}
        self.reached: set[str] = set()  # weights that the loss depends on
        self.obstacle = ""  # why it could not be differentiated twice
        self.per_batch: dict[Asking, dict[tuple[str, str], Average]] = {c: {} for c in self.criteria}
        self.seconds: dict[Asking | Need, float] = defaultdict(float)

    def _names(self, criteria: Sequence[Asking]) -> list[str]:
        members = (m for g in self.groups for c in criteria for m in members_at(g, c.place, self.tensors))
        return [n for n in dict.fromkeys(m.parameter for m in members) if self.tensors[n].requires_grad]

    def differentiate(self, output: object, labels: Tensor, share: float, keep_graph: bool = False) -> None:
        """Take in one batch that makes up ``share`` of all images."""
        began = time.perf_counter()
        loss = self.objective.loss(output, labels, self.task)
        gradients = self._gradients(loss, keep_graph)
        self.reached.update(gradients)
        if self.needs & (Need.GRADIENT | Need.PUSH):
            _add(self.mean, gradients, share)
        self.seconds[Need.GRADIENT] += time.perf_counter() - began
        for criterion in self.criteria:
            if Need.BATCH_GRADIENTS in criterion.needs:
                began = time.perf_counter()
                self._observe(criterion, gradients, share)
                self.seconds[criterion] += time.perf_counter() - began

    def _gradients(self, loss: Tensor, keep_graph: bool, create_graph: bool = False) -> Gradients:
        found = torch.autograd.grad(
            loss,
            [self.tensors[n] for n in self.names],
            retain_graph=keep_graph or create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
        return {n: g for n, g in zip(self.names, found) if g is not None}

    def _observe(self, criterion: Asking, gradients: Gradients, share: float) -> None:
        for group in self.groups:
            members = [m for m in members_at(group, criterion.place, self.tensors) if m.parameter in gradients]
            parts = [
                (m.parameter, rows(self.tensors[m.parameter], m), rows(gradients[m.parameter], m)) for m in members
            ]
            if criterion.joint and parts:
                parts = [("", torch.cat([w for _, w, _ in parts], 1), torch.cat([g for _, _, g in parts], 1))]
            for name, weight, gradient in parts:
                value = criterion.per_batch(weight.double(), gradient.double()) * share  # squares of small ones vanish
                known = self.per_batch[criterion].get((group.key, name))
                if known is None:
                    self.per_batch[criterion][group.key, name] = Average(value, 1)
                else:
                    known.total += value

    def bend(self, model: nn.Module, x: Tensor, labels: Tensor, share: float, seed: int) -> None:
        """Second pass over one batch that makes up ``share`` of all images; needs the mean gradient of the first.

        Where PyTorch cannot differentiate an operator twice, ``obstacle`` says so and nothing more is done.
        """
        if self.obstacle:
            return
        try:
            self._bend(model, x, labels, share, seed)
        except (RuntimeError, NotImplementedError) as error:
            operator = re.search(r"derivative for (\S+?)(_backward)? is not implemented", str(error))
            if operator is None:
                raise
            self.obstacle = f"PyTorch cannot differentiate the operator {operator[1]} of this network twice."

    def _bend(self, model: nn.Module, x: Tensor, labels: Tensor, share: float, seed: int) -> None:
        for start in range(0, len(x), CURVATURE_BATCH):
            began = time.perf_counter()
            part = slice(start, start + CURVATURE_BATCH)
            with torch.enable_grad(), TwiceDifferentiable():
                loss = self.objective.loss(model(x[part]), labels[part], self.task)
                gradients = self._gradients(loss, False, create_graph=True)
            weight = share * len(x[part]) / len(x)
            common = time.perf_counter() - began
            if Need.CURVATURE in self.needs:
                began = time.perf_counter()
                drawn = {n: signs(self.tensors[n], seed + start) for n in self.bent if n in gradients}
                bent = self._hessian_times(gradients, drawn, keep_graph=Need.PUSH in self.needs)
                _add(self.curvature, {n: h * drawn[n] for n, h in bent.items()}, weight)
                self.seconds[Need.CURVATURE] += time.perf_counter() - began + common
            if Need.PUSH in self.needs:
                began = time.perf_counter()
                flow = {n: g for n, g in self.mean.items() if self.tensors[n].ndim > 1}
                _add(self.push, self._hessian_times(gradients, flow, keep_graph=False), weight)
                self.seconds[Need.PUSH] += time.perf_counter() - began + common

    def _hessian_times(self, gradients: Gradients, vector: Gradients, keep_graph: bool) -> Gradients:
        names = [n for n in gradients if gradients[n].requires_grad and n in vector]
        found = torch.autograd.grad(
            [gradients[n] for n in names],
            [self.tensors[n] for n in names],
            [vector[n] for n in names],
            retain_graph=keep_graph,
            allow_unused=True,
        )
        return {n: h for n, h in zip(names, found) if h is not None}


def _add(total: Gradients, gradients: Gradients, share: float) -> None:
    for name, gradient in gradients.items():
        gradient = gradient.detach()
        if name in total:
            total[name].add_(gradient, alpha=share)
        else:
            total[name] = gradient * share
