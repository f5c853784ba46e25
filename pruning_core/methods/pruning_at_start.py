"""Pruning at initialisation: zeros are chosen in a network that has not been trained, which is trained with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.criteria import Grasp, Snip, SynFlow
from pruning_core.knobs import Range, Toggle
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Mask, Phase, Reinitialise, Train
from pruning_core.methods.saliency import ConnectionSensitivity, Flow, GradientFlow, Saliency
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Elements
from pruning_core.taxonomy import Card, Data, Family, Granularity, Structure, Time

SCALED = "The papers train 160 epochs and more after the cut; here it is a few."


@dataclass(frozen=True)
class PruningAtStart(Method):
    """What the three have in common."""

    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = SCALED

    anew: Annotated[
        bool, Toggle("From new random weights", help="as in the paper; off: from the weights of the given network")
    ] = True

    @abstractmethod
    def saliency(self) -> Saliency:
        """What weights are judged by."""

    def times(self) -> int:
        return 1

    def phases(self, goal: Goal) -> Iterator[Phase]:
        if self.anew:
            yield Reinitialise(name="new weights")
        name = f"zeros by {self.card.name.partition(',')[0]}"
        yield Mask(Elements(), self.saliency(), staged(goal, 1), self.times(), name)
        yield Train(1.0, (ZerosStay(),), name="what is left")


@dataclass(frozen=True)
class SnipElements(PruningAtStart):
    r"""Before training: keep the single weights whose scaling moves the loss most, and train those.

    $s_m = |g_m w_m|$ with the gradient of one batch; the highest of the whole network are kept.

    When it fails: at high sparsity whole layers can lose all their weights. On a trained network the gradient is nearly
    zero and the order mostly noise.
    """

    card: ClassVar = Card(
        key="snip-elements", name="SNIP, elements", family=Family.INITIALISATION, data=Data.TRAINING, time=Time.BEFORE,
        granularity=Granularity.ELEMENT, structure=Structure.UNSTRUCTURED, cost="one batch, and one training",
        paper=Snip.card.paper, published=Snip.card.published,
    )  # fmt: skip
    in_paper: ClassVar = (
        InPaper("anew", "on"),
        InPaper("epochs", "160 and more", False),
    )

    def saliency(self) -> Saliency:
        return ConnectionSensitivity()


@dataclass(frozen=True)
class GraspElements(PruningAtStart):
    r"""Before training: remove the single weights without which the gradient stays largest, and train the others.

    $S = -w \odot (H g)$, the largest are removed: taking them away lowers the norm of the gradient least.

    When it fails: the sign is easily taken the wrong way round. Networks with operators that cannot be differentiated
    twice cannot be asked.
    """

    card: ClassVar = Card(
        key="grasp-elements", name="GraSP, elements", family=Family.INITIALISATION, data=Data.TRAINING,
        time=Time.BEFORE, granularity=Granularity.ELEMENT, structure=Structure.UNSTRUCTURED,
        cost="one batch differentiated twice, and one training",
        paper=Grasp.card.paper, published=Grasp.card.published,
    builds_on=("snip-elements",),
    )  # fmt: skip
    in_paper: ClassVar = (
        InPaper("anew", "on"),
        InPaper("temperature", "200"),
        InPaper("epochs", "160 and more", False),
    )
    temperature: Annotated[float, Range(1, 500, "Temperature of the logits", log=True)] = 200.0

    def saliency(self) -> Saliency:
        return GradientFlow(self.temperature)


@dataclass(frozen=True)
class SynFlowElements(PruningAtStart):
    r"""Before training and without data: keep the single weights that carry most flow, judged anew with ever fewer.

    $s_m = |w_m\, \partial R / \partial w_m|$ of the network made positive; after round $k$ of $n$ the density is
    $\rho^{k/n}$, so that no layer is emptied while others are full.

    When it fails: it knows the architecture and the sizes of weights, not the task. In one round it empties layers.
    """

    card: ClassVar = Card(
        key="synflow-elements", name="SynFlow, elements", family=Family.INITIALISATION, data=Data.TRAINING,
        time=Time.BEFORE, granularity=Granularity.ELEMENT, structure=Structure.UNSTRUCTURED,
        cost="a hundred passes of one input of ones, and one training",
        paper=SynFlow.card.paper, published=SynFlow.card.published,
    builds_on=("snip-elements", "grasp-elements"),
    )  # fmt: skip
    in_paper: ClassVar = (
        InPaper("anew", "on"),
        InPaper("rounds", "100"),
        InPaper("epochs", "160 and more", False),
    )
    rounds: Annotated[int, Range(1, 100, "Rounds", step=1)] = 100

    def saliency(self) -> Saliency:
        return Flow()

    def times(self) -> int:
        return self.rounds
