"""Discrimination-aware selection: build the input of a layer up from nothing, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion, NotScorable
from pruning_core.knobs import Range
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published

LEARNING_RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4  # of the authors' sub-problem


@dataclass(frozen=True)
class DiscriminationAware(Criterion):
    r"""Start from nothing and give back the channels the loss asks for.

    DCP: $\mathcal{A} \leftarrow \mathcal{A} \cup \arg\max_{c \notin \mathcal{A}} \Big\| \frac{\partial L}{\partial
    W_{:,c}} \Big\|_F$, channels in the order in which the gradient asks for them, starting from a layer that reads
    nothing.

    All weights that read the group are set to zero; the channel with the largest gradient gets its trained weights
    back, the selected weights take gradient steps, and so on. $L$ is the loss of the task plus the mean squared
    change of the layer's output. Channels are selected in ``rounds`` of equal size; $s_c$ counts the rounds from the
    end, plus a fraction that ranks the channels of a round.

    When it fails: slow, ``rounds x (1 + steps)`` passes over ``images`` images *per layer*. With few rounds, channels
    that say the same are selected together. Only the final loss is used; the paper adds losses at intermediate layers.
    """

    place: ClassVar = Place.CONSUMER
    joint: ClassVar = True
    needs: ClassVar = Need.TRIAL
    card: ClassVar = Card(
        key="dcp",
        name="Discrimination-aware (DCP)",
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost="several forward and backward passes per layer",
        paper=Paper(
            "Discrimination-aware Channel Pruning for Deep Neural Networks",
            "Zhuang, Tan, Zhuang, Liu, Guo, Wu, Huang, Zhu",
            "NeurIPS",
            2018,
            "1810.11809",
        ),
        published=(
            Published(
                "ResNet-56", "CIFAR-10", "93.80 to 93.49 % at 50 % fewer FLOPs", "the paper, in SCUT-AILab/DCP", True
            ),
            Published(
                "ResNet-50",
                "ImageNet",
                "1.06 points of top-1 lost at 2.25x fewer FLOPs",
                "the paper, in SCUT-AILab/DCP",
                True,
            ),
        ),
        builds_on=("thinet", "cp-lasso"),
    )
    rounds: Annotated[int, Range(1, 64, "Rounds", step=1, help="As many as channels is the paper's one by one")] = 4
    steps: Annotated[int, Range(0, 5, "Gradient steps per round", step=1)] = 1

    images: Annotated[int, Range(8, 1024, "Images per pass", step=8)] = 32

    @property
    def trial_images(self) -> int:
        return self.images

    def score(self, site: Site) -> Tensor:
        if site.trial is None:
            raise NotScorable("No weights read these channels that could be tried out.")
        count = site.channels
        rounds = min(self.rounds, count)
        weight = torch.zeros_like(site.weight)
        velocity = torch.zeros_like(weight)
        selected = torch.zeros(count, dtype=torch.bool, device=weight.device)
        scores = torch.zeros(count, dtype=torch.float64, device=weight.device)
        gradient = site.trial.gradient(weight)
        for turn in range(rounds):
            asked = gradient.norm(dim=1).double()
            asked[selected] = -1
            share = (turn + 1) * count // rounds - turn * count // rounds
            new = asked.sort(descending=True, stable=True).indices[:share]
            scores[new] = rounds - 1 - turn + 0.999 * asked[new] / asked.max().clamp_min(1e-300)
            selected[new] = True
            if bool(selected.all()):
                break
            weight[new] = site.weight[new]
            for _ in range(self.steps):
                slope = site.trial.gradient(weight) + DECAY * weight
                velocity = MOMENTUM * velocity + slope
                weight = torch.where(selected[:, None], weight - LEARNING_RATE * velocity, 0.0)
            gradient = site.trial.gradient(weight)
        return scores
