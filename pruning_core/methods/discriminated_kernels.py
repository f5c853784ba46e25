"""Discrimination-aware kernel pruning: of every layer the kernels stay that would help the loss most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Mask, Phase, Train
from pruning_core.methods.saliency import FirstStep
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Kernels
from pruning_core.sparsity.weights import shapes
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Published, Structure

NO_CONVOLUTION = "This method chooses kernels of convolutions, and this network has none. Magnitude pruning needs none."


@dataclass(frozen=True)
class DiscriminatedKernels(Method):
    r"""Empty one layer at a time, and keep the kernels with which the loss would begin to fall most steeply.

    $s_{ij} = \left\| \partial \mathcal{L} / \partial W_{ij} \right\|_F$ at $W = 0$ of that layer, the others as they
    are: the first step of a greedy choice. In every layer the same share of kernels stays, with the weights that they
    have, and what is left is trained.

    When it fails: a kernel that helps only together with others is not seen by a first step. Kernels that are zero
    between others make nothing faster on ordinary convolutions.
    """

    card: ClassVar = Card(
        key="dkp", name="Discrimination-aware kernels (DKP)", family=Family.GRADIENT, data=Data.TRAINING,
        granularity=Granularity.KERNEL, structure=Structure.SEMI,
        cost="forward and backward for every layer, and a training",
        paper=Paper(
            "Discrimination-aware Network Pruning for Deep Model Compression",
            "Liu, Zhuang, Zhuang, Guo, Huang, Zhu, Tan", "TPAMI", 2021, "2001.01050",
        ),
        published=(
            Published("ResNet-50", "ImageNet", "+0.36 % top-1 without 30 % of channels", "abstract of the paper", True),
        ),
    builds_on=("dcp-losses",),)  # fmt: skip
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = (
        "The paper adds losses at inner layers and an error of reconstruction, adds one kernel after the other and "
        "trains in between; here it is the network's own loss, all kernels of a round at once, and a few epochs."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "one kernel at a time"),
        InPaper("epochs", "400 (CIFAR-10)"),
    )

    rounds: Annotated[int, Range(1, 4, "Rounds", step=1)] = 1

    def obstacle(self, network: Network) -> str:
        return "" if any(len(shape) > 2 for shape in shapes(network).values()) else NO_CONVOLUTION

    def phases(self, goal: Goal) -> Iterator[Phase]:
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            budget = staged(goal, number / self.rounds)
            yield Mask(Kernels("layer"), FirstStep(), budget, name=f"kernels that help least{named}")
            yield Train(1 / self.rounds, (ZerosStay(),), name=f"what is left{named}")
