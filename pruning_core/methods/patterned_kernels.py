"""Pattern pruning: every 3 x 3 kernel keeps four weights in one of a few arrangements, and some kernels go whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper, ours
from pruning_core.methods.near_pattern import NearPattern
from pruning_core.methods.phases import Mask, Phase, Train
from pruning_core.methods.saliency import Magnitude
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.kernel_patterns import KernelPatterns
from pruning_core.sparsity.weights import shapes
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Published, Structure, Time

NO_KERNELS = (
    "This method gives 3 × 3 kernels a pattern, and this network has none behind its first layer. Magnitude pruning "
    "and N:M sparsity need none."
)


def without_kernels(network: Network) -> str:
    """The obstacle of these methods; "" where a convolution behind the first layer has kernels of 3 x 3."""
    behind = list(shapes(network).values())[1:]
    return "" if any(shape[2:] == (3, 3) for shape in behind) else NO_KERNELS


@dataclass(frozen=True)
class PConv(Method):
    r"""Each 3 x 3 kernel keeps the one of four fixed patterns that fits it best; each filter loses its weakest kernels.

    $p^*(i,j) = \arg\max_p \|K_{ij} \odot p\|_2$ with four patterns of four entries around the centre; inside every
    filter the kernels of smallest $\|K_{ij} \odot p^*\|_F$ go, the same number in each, so that the work stays
    balanced.

    When it fails: without a compiler that knows the patterns a masked convolution costs the same time as a full one.
    Convolutions of 1 x 1 have no pattern and lose whole kernels only.
    """

    card: ClassVar = Card(
        key="pconv", name="PCONV", family=Family.KERNELS, data=Data.TRAINING, time=Time.AFTER,
        granularity=Granularity.KERNEL, structure=Structure.SEMI, cost="one pass over the weights, and a training",
        paper=Paper(
            "PCONV: The Missing but Desirable Sparsity in DNN Weight Pruning for Real-time Execution on Mobile Devices",
            "Ma, Guo, Niu, Lin, Tang, Ma, Ren, Wang", "AAAI", 2020, "1909.05073",
        ),
        published=(
            Published(
                "several", "ImageNet", "up to 39.2x faster than TensorFlow Lite on a phone", "abstract of the paper",
                True,
            ),
        ),
    builds_on=("admm",),)  # fmt: skip
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = (
        "The paper reaches its patterns by a long training and runs them by a compiler of its own; here they are "
        "fitted to the given weights at once, trained for a few epochs, and run by ordinary kernels."
    )
    in_paper: ClassVar = (InPaper("epochs", UNREAD),)

    def obstacle(self, network: Network) -> str:
        return without_kernels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Mask(KernelPatterns(), Magnitude(), staged(goal, 1), name="patterns and connections")
        yield Train(1.0, (ZerosStay(),), name="what is left")


@dataclass(frozen=True)
class PatDNN(Method):
    r"""A library of the patterns that are most frequent in this network; the weights are drawn to it by ADMM.

    $\min \mathcal{L}(W) + \tfrac{\rho}{2} \|W - Z + U\|_F^2$, $Z$ the nearest network whose 3 x 3 kernels have
    a pattern of the library and of whose kernels in each layer only the strongest are there. A kernel's natural pattern
    is its centre and the three largest of its other weights.

    When it fails: filters of one layer keep different numbers of kernels, which a phone balances by reordering them and
    an ordinary kernel does not. A pattern costs the same time as a full kernel where no compiler knows it.
    """

    card: ClassVar = Card(
        key="patdnn", name="PatDNN", family=Family.KERNELS, data=Data.TRAINING, time=Time.DURING,
        granularity=Granularity.KERNEL, structure=Structure.SEMI,
        cost="one training with a penalty, one projection per epoch, and a training of what is left",
        paper=Paper(
            "PatDNN: Achieving Real-Time DNN Execution on Mobile Devices with Pattern-based Weight Pruning",
            "Niu, Ma, Lin, Wang, Qian, Lin, Wang, Ren", "ASPLOS", 2020, "2001.00138",
        ),
        published=(
            Published(
                "several", "ImageNet", "up to 44.5x faster than TensorFlow Lite on a phone", "abstract of the paper",
                True,
            ),
        ),
    builds_on=("pconv", "admm"),)  # fmt: skip
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = (
        "The paper keeps two pairs of variables, for patterns and for whole kernels, through many rounds; here one "
        "pair is near a network with both, every epoch is a round, and rho grows from one to the next."
    )
    in_paper: ClassVar = (
        InPaper("patterns", "6 to 8"),
        InPaper("rho", "1e-3 to 1e-2", False),
        InPaper("epochs", UNREAD),
        *ours("growth"),
    )

    patterns: Annotated[int, Range(4, 12, "Patterns in the library", step=1)] = 8
    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch", step=0.1)] = 1.5

    def obstacle(self, network: Network) -> str:
        return without_kernels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        pattern, budget = KernelPatterns(self.patterns, balanced=False), staged(goal, 1)
        hook = NearPattern(pattern, budget, self.rho, self.growth)
        yield Train(0.6, (hook,), keep="last", name="near the patterns")
        yield Mask(pattern, Magnitude(), budget, name="patterns and connections")
        yield Train(0.4, (ZerosStay(),), name="what is left")
