"""What single weights are worth. Criteria judge channels; these judge elements, for zeros inside the weights."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.criteria.tasks import sloped, task_of
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.knobs import Knobbed, Range
from pruning_core.probe.flow import positive_flow
from pruning_core.probe.objectives import SynapticFlow, Task
from pruning_core.probe.shadow import shadow
from pruning_core.probe.smooth import TwiceDifferentiable
from pruning_core.sparsity.weights import prunable

IMAGES = 128  # what is judged on: one batch
TWICE = 16  # images of one part where it is differentiated twice, which holds several times the memory
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Saliency(Knobbed, ABC):
    """A frozen dataclass; ``images`` says whether it looks at images and what they are judged by."""

    images: ClassVar[bool] = False

    def spared(self, weights: Weights) -> frozenset[str]:
        """The names of those that it wants whole, whatever share may be left."""
        return frozenset()

    @abstractmethod
    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        """Name -> importance of the weight's shape, of every prunable weight; higher is kept. ``model`` is not changed.

        ``images``: a batch, normalised as the network wants them. ``seed`` draws dropout. Raises UserError where this
        network cannot be asked.
        """


@dataclass(frozen=True)
class Magnitude(Saliency):
    """The absolute value (Han et al., 2015)."""

    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        return {name: weight.detach().abs() for name, weight in prunable(model, network).items()}


@dataclass(frozen=True)
class ConnectionSensitivity(Saliency):
    """How much the loss would move if a weight were scaled down: its size times its gradient (SNIP; Lee et al., 2019).

    The paper divides by the sum over the network, which changes no comparison.
    """

    images: ClassVar = True

    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        with _asked(model, network, images, seed) as asked:
            gradients = asked.gradients(asked.loss(slice(None), 1.0), False)
            return {name: (gradients[name] * weight).detach().abs() for name, weight in asked.weights.items()}


@dataclass(frozen=True)
class GradientFlow(Saliency):
    """What goes of the gradient's norm with a weight: w times (Hg) (GraSP; Wang et al., 2020).

    The paper's score is -w (Hg) and its largest values are removed; here the sign is turned, so that higher is kept.
    """

    images: ClassVar = True
    temperature: Annotated[float, Range(1, 500, "Temperature of the logits", log=True)] = 200.0

    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        with _asked(model, network, images, seed) as asked:
            parts = [slice(start, start + TWICE) for start in range(0, len(asked.labels), TWICE)]
            mean = {name: torch.zeros_like(weight) for name, weight in asked.weights.items()}
            for part in parts:
                for name, gradient in asked.gradients(asked.loss(part, self.temperature), False).items():
                    mean[name] += gradient * len(asked.labels[part]) / len(asked.labels)
            found = {name: torch.zeros_like(weight) for name, weight in asked.weights.items()}
            for part in parts:
                with TwiceDifferentiable():
                    gradients = asked.gradients(asked.loss(part, self.temperature), True)
                flow = torch.stack([(gradients[name] * mean[name]).sum() for name in gradients]).sum()
                for name, push in asked.gradients(flow, False).items():
                    found[name] += asked.weights[name].detach() * push * len(asked.labels[part]) / len(asked.labels)
        return found


@dataclass(frozen=True)
class FirstStep(Saliency):
    """How steeply the loss falls when a weight of an emptied layer begins to grow: its squared gradient there.

    The first step of a greedy choice (discrimination-aware pruning; Zhuang et al., 2018), layer by layer, while the
    others keep their weights. Layers without kernels are not emptied: their weights come first.
    """

    images: ClassVar = True

    def spared(self, weights: Weights) -> frozenset[str]:
        return frozenset(name for name, weight in weights.items() if weight.dim() < 3)

    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        if images is None:
            raise ValueError("this saliency needs images")
        stand_in, x, targets = shadow(model), images.normalised(images.images), sloped(images, seed).labels
        weights, found = prunable(model, network), dict[str, Tensor]()
        spared = self.spared(weights)
        for name, weight in weights.items():
            if name in spared:
                found[name] = torch.full_like(weight, float("inf"))
                continue
            empty = torch.zeros_like(weight, requires_grad=True)
            with torch.enable_grad():
                loss = task_of(images).loss(functional_call(stand_in, {name: empty}, (x,)), targets, 1.0)
                found[name] = torch.autograd.grad(loss, empty)[0].square()
        return found


@dataclass(frozen=True)
class Flow(Saliency):
    """The flow through a weight of a network made positive; no data (SynFlow; Tanaka et al., 2020).

    To be asked again and again with ever fewer weights: in one go it empties whole layers.
    """

    def scores(self, model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Weights:
        slopes = positive_flow(model, network, SynapticFlow()).mean
        weights = prunable(model, network)
        return {
            name: (slopes[name] * weight.detach().double()).abs() if name in slopes else torch.zeros_like(weight)
            for name, weight in weights.items()
        }


@dataclass(frozen=True)
class _Asked:
    """A copy in training mode (statistics of a new network say nothing yet), and a batch to ask it about."""

    model: nn.Module
    weights: dict[str, Tensor]
    x: Tensor
    labels: Tensor
    task: Task

    def loss(self, part: slice, temperature: float) -> Tensor:
        return self.task.loss(self.model(self.x[part]), self.labels[part], temperature)

    def gradients(self, of: Tensor, again: bool) -> Weights:
        """Of every weight; where the network does not reach one, zeros."""
        names = list(self.weights)
        try:
            found = torch.autograd.grad(of, list(self.weights.values()), create_graph=again, allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            if "derivative for" not in str(error):
                raise
            raise UserError(
                "PyTorch cannot differentiate an operator of this network twice. Choose SNIP, SynFlow or magnitude."
            ) from error
        return {n: torch.zeros_like(self.weights[n]) if g is None else g for n, g in zip(names, found)}


@contextlib.contextmanager
def _asked(model: nn.Module, network: Network, images: Dataset | None, seed: int) -> Iterator[_Asked]:
    if images is None:
        raise ValueError("this saliency needs images")
    stand_in = shadow(model, gradients=True)
    set_mode_if_able(stand_in, True)
    parameters = dict(stand_in.named_parameters())
    weights: dict[str, Tensor] = {name: parameters[name] for name in prunable(model, network)}
    x = images.normalised(images.images)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        yield _Asked(stand_in, weights, x, sloped(images, seed).labels, task_of(images))
