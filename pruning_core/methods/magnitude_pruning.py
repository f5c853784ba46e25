"""Basic pruning: the smallest weights become zero, in rounds with training between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.knobs import Choice, Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Mask, Phase, Train
from pruning_core.methods.saliency import Magnitude
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Blocks, Columns, Elements, Kernels, Vectors
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Published, Structure

HAN = Paper(
    "Learning both Weights and Connections for Efficient Neural Networks",
    "Han, Pool, Tran, Dally",
    "NeurIPS",
    2015,
    "1506.02626",
)
PATTERNS: dict[str, type[Blocks]] = {
    "elements": Elements, "rows of kernels": Vectors, "kernels": Kernels, "columns": Columns,
}  # fmt: skip


@dataclass(frozen=True)
class MagnitudePruning(Method):
    r"""Set the smallest weights to zero, train the others, and again; the network keeps its shape.

    $W \leftarrow W \odot \mathbb{1}[\,|W| > t\,]$, with one threshold $t$ for the network or for each layer. With a
    coarser granularity the mean size of a row of a kernel, a whole kernel or a column of the layer's matrix decides.

    When it fails: a threshold for the whole network can empty the layers whose weights are small. Zeros between the
    weights make nothing faster on ordinary kernels: what shrinks is the file.
    """

    card: ClassVar = Card(
        key="mag",
        name="Magnitude pruning",
        family=Family.MAGNITUDE,
        data=Data.TRAINING,
        granularity=Granularity.ELEMENT,
        structure=Structure.UNSTRUCTURED,
        cost="sorting the weights, and a training after each round",
        paper=HAN,
        published=(
            Published("ResNet-50", "ImageNet", "76.06 % without 30 % of weights", "rethinking-network-pruning", True),
            Published("AlexNet", "ImageNet", "9x fewer parameters", "the paper, recalled", False),
        ),
        builds_on=("surgeon",),
    )
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = "The paper trains for hundreds of epochs between few rounds; here it is a few epochs."
    in_paper: ClassVar = (
        InPaper("granularity", "elements"),
        InPaper("scope", "per layer, by a threshold", False),
        InPaper("rounds", "several", False),
        InPaper("epochs", "hundreds", False),
    )

    granularity: Annotated[str, Choice(tuple(PATTERNS), "Zeroed together")] = "elements"
    scope: Annotated[str, Choice(("network", "layer"), "Ranked within")] = "network"
    rounds: Annotated[int, Range(1, 8, "Rounds", step=1)] = 2

    def phases(self, goal: Goal) -> Iterator[Phase]:
        pattern = PATTERNS[self.granularity]("network" if self.scope == "network" else "layer")
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            yield Mask(pattern, Magnitude(), staged(goal, number / self.rounds), name=f"the smallest weights{named}")
            yield Train(1 / self.rounds, (ZerosStay(),), name=f"what is left{named}")
