"""Channel exploration (CHEX): channels are pruned and grown again while a network trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.exploring import Exploration, Exploring
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import joined, without_scales
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook


def leverage(rows: Tensor, keep: int) -> Tensor:
    """(C,) how much each of the (C, d) filters takes part in their best common subspace of ``keep`` dimensions.

    They add up to ``keep``, or to the rank where that is less: directions beyond it are arbitrary. Fewer numbers in a
    filter than filters: sums of absolute weights, as the authors' code does.
    """
    count, size = rows.shape
    if keep >= count:
        return torch.ones(count, dtype=torch.float64)
    if size < count:
        return rows.double().abs().sum(1)
    directions, sizes, _ = torch.linalg.svd(rows.double(), full_matrices=False)
    rank = int((sizes > sizes[0] * 1e-7).sum())
    return directions[:, : min(keep, rank)].square().sum(1)


@dataclass(frozen=True)
class LeverageExploration(Exploration):
    """Kept are the filters with the highest leverage."""

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _Leverage(self, model, network)


class _Leverage(Exploring):
    def importance(self, key: str, keep: int) -> Tensor:
        return leverage(joined(self.filters[key]).detach(), keep)


@dataclass(frozen=True)
class ChannelExploration(Method):
    r"""Prune and grow again while training: fewer channels come back every time, and the last structure stays.

    $\psi_j = \|[V_k]_{j,:}\|^2, \quad X = U \Sigma V^\top$: the filters of a layer are the columns of $X$, and the $k$
    columns with the highest leverage $\psi$ stand for all of them. One threshold for all batch-norm scales says how
    many each layer keeps. Some of the others are drawn to come back with the weights they had, the likelier the less
    the kept ones can replace them: $\tfrac{1}{2}(1 + \cos(\pi t / T))\,\delta_0$ of all channels.

    When it fails: without batch norms. It was made for training from scratch over hundreds of epochs; in a few epochs a
    channel that came back has hardly the time to show what it is good for.
    """

    card: ClassVar = Card(
        key="chex",
        name="Channel exploration (CHEX)",
        family=Family.REDUNDANCY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; in every round a decomposition of each layer's filters",
        paper=Paper(
            "CHEX: CHannel EXploration for CNN Model Compression",
            "Hou, Qin, Sun, Ma, Yuan, Xu, Chen, Jin, Xie, Kung",
            "CVPR",
            2022,
            "2203.15794",
        ),
        published=(
            Published("ResNet-50", "ImageNet", "77.4 % at 2 GFLOPs, 250 epochs", "zejiangh/Filter-GaP", True),
            Published("ResNet-18", "ImageNet", "69.6 % at 1.03 GFLOPs, 250 epochs", "zejiangh/Filter-GaP", True),
        ),
        builds_on=("sfp", "netslim"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 250 epochs from scratch and explores every second one of the first 180; here the given "
        "network is trained on for a few epochs, and explores in a few rounds of the first two thirds."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "90: every 2nd of the first 180 epochs"),
        InPaper("regrown", "0.3"),
        InPaper("epochs", "250"),
    )

    rounds: Annotated[int, Range(1, 30, "Rounds of pruning and regrowing", step=1)] = 6
    regrown: Annotated[float, Range(0.0, 0.9, "Share regrown at first", step=0.05)] = 0.3

    def obstacle(self, network: Network) -> str:
        return without_scales(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        hook = LeverageExploration(staged(goal, 1), self.rounds, self.regrown)
        yield Train(0.65, (hook,), keep="last", name="explore")
        yield Cut(Learnt(), Zeros(), name="what is closed")
        yield Train(0.35, name="what is left")
