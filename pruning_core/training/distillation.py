"""Training towards another network's answers instead of labels.

Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531); features as hints
after Romero et al., FitNets, ICLR 2015 (arXiv 1412.6550), here without a regressor, so only where shapes agree.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph.modules import set_mode_if_able
from pruning_core.knobs import Range
from pruning_core.measuring.forward import taken
from pruning_core.measuring.measure import Against, Measure
from pruning_core.numeric.outputs import Takes
from pruning_core.training.loss import Forward, Objective, ObjectiveSpec, training_loss

ORIGIN = "origin"  # the name under which a program offers the network that it began with
Temperature = Annotated[float, Range(1.0, 20.0, "Temperature of the class scores", 0.5)]
FeatureWeight = Annotated[float, Range(0.0, 10.0, "Weight of the features", 0.5)]
LabelWeight = Annotated[float, Range(0.0, 10.0, "Weight of the labels", 0.1)]


@dataclass(frozen=True)
class Distillation(ObjectiveSpec):
    """Follow the class scores of ``teacher`` at ``temperature``, and its features where both networks' shapes agree.

    ``features`` weighs the relative squared distance of what convolutions and products write, averaged over the layers
    that kept their width. ``labels`` weighs the cross-entropy with the labels; 0 needs none. ``measure``: what judges
    the result, where it says how far outputs are apart.
    """

    temperature: Temperature = 4.0
    features: FeatureWeight = 1.0
    labels: LabelWeight = 0.0
    teacher: str = ORIGIN
    measure: Measure | None = None

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return self.labels > 0

    def judged_by(self, measure: Measure) -> ObjectiveSpec:
        return replace(self, measure=measure) if measure.against is Against.BOXES else self

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        """Raises ValueError when there is no network of the teacher's name."""
        if self.teacher not in others:
            raise ValueError(f"there is no network {self.teacher!r} to learn from")
        where = next(model.parameters()).device
        teacher = copy.deepcopy(others[self.teacher]).to(where).requires_grad_(False)
        set_mode_if_able(teacher, False)
        return _Following(self, model, teacher)


@dataclass(frozen=True, eq=False)
class _Following(Objective):
    spec: Distillation
    model: nn.Module
    teacher: nn.Module

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The divergence from the teacher (nats, times the squared temperature) is what events report.

        Of outputs that are no scores of classes it is the squared distance, as a share of what the teacher gives.
        """
        spec = self.spec
        shared = _layers(self.teacher).keys() & _layers(self.model).keys() if spec.features else set[str]()
        decided = not y.is_floating_point()  # for one of the classes, of each image or each of its places
        takes = Takes.MAIN if decided else Takes.NUMBERS if spec.measure is None else spec.measure.takes
        with torch.no_grad(), _noting(self.teacher, shared) as aims:
            wanted = taken(self.teacher(x), takes).float()
        with _noting(self.model, shared) as made:
            output = forward(x)
        scores = taken(output, takes).float()
        apart = None if spec.measure is None else spec.measure.apart(scores, wanted)
        if apart is None:
            apart = divergence(scores, wanted, spec.temperature) if decided else relative_error(scores, wanted)
        main = total = apart
        distances = [
            (made[name].float() - aim.float()).square().sum() / aim.float().square().sum().clamp_min(1e-12)
            for name, aim in aims.items()
            if name in made and made[name].shape == aim.shape and aim.shape != wanted.shape
        ]
        if distances:
            total = total + spec.features * torch.stack(distances).mean()
        if spec.labels:
            total = total + spec.labels * training_loss(output, y, 0.0)[0]
        return total, main


def divergence(scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student), both (n, K, …) class scores at temperature T; the mean over images (and places), in
    nats."""
    student, teacher = F.log_softmax(scores / temperature, 1), F.log_softmax(wanted / temperature, 1)
    places = wanted[0, 0].numel()
    return temperature**2 / places * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of (n, …) outputs, as a share of the squares of what is wanted."""
    return (given - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and products by name."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


@contextlib.contextmanager
def _noting(model: nn.Module, names: set[str]) -> Iterator[dict[str, Tensor]]:
    """What the layers called ``names`` write inside this context, at their first use."""
    found: dict[str, Tensor] = {}

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            found.setdefault(name, output)

        return note

    with contextlib.ExitStack() as stack:
        for name, module in _layers(model).items():
            if name in names:
                stack.callback(module.register_forward_hook(noting(name)).remove)
        yield found
