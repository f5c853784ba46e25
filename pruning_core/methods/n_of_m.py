"""N:M sparsity: of every M weights that follow each other along the input channels N stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Network
from pruning_core.knobs import Choice, Range, Toggle
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Mask, Phase, Train
from pruning_core.methods.saliency import Magnitude
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.fitting import kept
from pruning_core.sparsity.patterns import NofM
from pruning_core.sparsity.weights import prunable, shapes
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Structure, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

RATIOS = {"2:4": (2, 4), "1:4": (1, 4), "4:8": (4, 8), "2:8": (2, 8)}


@dataclass(frozen=True)
class RefinedStraightThrough(HookSpec):
    """SR-STE: every step runs with the N largest of M, gradients reach all weights, and those left out are decayed.

    The gradient of a masked weight is taken for that of the weight itself; ``decay`` times a weight that is not among
    its N is added to it.
    """

    watches: ClassVar = (Watch("changed", "Weights whose place in the mask changed", "share, since the last epoch"),)
    n: int = 2
    m: int = 4
    decay: Annotated[float, Range(0.0, 0.1, "Decay of what is left out")] = 2e-4

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _RefinedStraightThrough(self, prunable(model, network))


class _RefinedStraightThrough(Hook):
    def __init__(self, spec: RefinedStraightThrough, weights: dict[str, Tensor]) -> None:
        pattern = NofM(spec.n, spec.m)
        self._weights = {name: weight for name, weight in weights.items() if pattern.fits(weight)}
        self._pattern, self._decay = pattern, spec.decay
        self._before = self._now = self._masks()

    @torch.no_grad()
    def _masks(self) -> dict[str, Tensor]:
        levels = self._pattern.levels({name: weight.detach().abs() for name, weight in self._weights.items()})
        return {name: mask.to(self._weights[name]) for name, mask in kept(levels, 1.0).items()}

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        self._now = self._masks()
        return {name: w + (w * self._now[name] - w).detach() for name, w in self._weights.items()}

    @torch.no_grad()
    def after_backward(self, moment: Moment) -> None:
        for name, mask in self._now.items():  # those of this step's forward pass
            weight = self._weights[name]
            if weight.grad is not None:
                weight.grad += self._decay * (1 - mask) * weight

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        now = self._masks()
        moved = sum(int((now[name] != self._before[name]).sum()) for name in now)
        self._before = now
        return {"changed": torch.tensor(moved / max(1, sum(mask.numel() for mask in now.values())))}

    def state(self) -> Mapping[str, dict[str, Tensor]]:
        return {"before": self._before}

    def load(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        self._before = {name: mask.to(self._weights[name]).clone() for name, mask in state["before"].items()}


@dataclass(frozen=True)
class NofMSparsity(Method):
    r"""Of every M weights in a row along the input channels the N largest stay: half of them, in blocks of equal work.

    $\sum_{j=1}^{M} \mathbb{1}[w_{bM+j} \neq 0] \le N$ in every block $b$ of consecutive input channels. At once (ASP):
    one mask, then a training with it. While it trains (SR-STE): the mask follows the weights at every step, and
    $g \leftarrow g + \lambda\,(1 - m) \odot w$ decays those that are left out.

    When it fails: only 2:4 is run faster by hardware (tensor cores of NVIDIA since Ampere); elsewhere it is as fast as
    the dense network. Layers whose input channels are no multiple of M stay dense. The pattern, and no budget, says how
    much is left.
    """

    card: ClassVar = Card(
        key="nm", name="N:M sparsity", family=Family.MAGNITUDE, data=Data.TRAINING, time=Time.AFTER,
        granularity=Granularity.ELEMENT, structure=Structure.SEMI, cost="one pass over the weights, and a training",
        paper=Paper(
            "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch",
            "Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li", "ICLR", 2021, "2102.04010",
        ),
    builds_on=("mag",),)  # fmt: skip
    outcome: ClassVar = Outcome.SPARSE
    budgeted: ClassVar[bool] = False
    scaled_down: ClassVar[str] = (
        "SR-STE trains from scratch for 120 epochs or more, and ASP repeats the whole training; here the given network "
        "is trained on for a few epochs."
    )
    in_paper: ClassVar = (
        InPaper("ratio", "2:4 and others"),
        InPaper("refined", "on (SR-STE), off (ASP)"),
        InPaper("decay", "2e-4"),
        InPaper("epochs", "120 (SR-STE); the whole training again (ASP)", False),
    )

    ratio: Annotated[str, Choice(tuple(RATIOS), "N:M")] = "2:4"
    refined: Annotated[bool, Toggle("While it trains (SR-STE)", help="off: one mask, then a training (ASP)")] = False
    decay: Annotated[float, Range(1e-6, 0.1, "Decay of what is left out (SR-STE)", log=True)] = 2e-4

    def obstacle(self, network: Network) -> str:
        _, m = RATIOS[self.ratio]
        if any(shape[1] % m == 0 for shape in shapes(network).values()):
            return ""
        return (
            f"No layer of this network reads a multiple of {m} input channels, so {self.ratio} has no blocks. "
            "Magnitude pruning needs none."
        )

    def phases(self, goal: Goal) -> Iterator[Phase]:
        n, m = RATIOS[self.ratio]
        mask = Mask(NofM(n, m), Magnitude(), Budget("parameters", fraction=1.0), name=f"{self.ratio} blocks")
        if self.refined:
            yield Train(0.7, (RefinedStraightThrough(n, m, self.decay),), keep="last", name="towards the blocks")
        yield mask
        yield Train(0.3 if self.refined else 1.0, (ZerosStay(),), name="what is left")
