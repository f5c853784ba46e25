"""ADMM on single weights: they are drawn, ever more strongly, to the nearest network with enough zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.knobs import Choice, Range
from pruning_core.methods.admm_filters import StructuredADMM
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper, ours
from pruning_core.methods.near_pattern import NearPattern
from pruning_core.methods.phases import Mask, Phase, Train
from pruning_core.methods.saliency import Magnitude
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Elements
from pruning_core.taxonomy import Card, Data, Family, Granularity, Structure, Time


@dataclass(frozen=True)
class UnstructuredADMM(Method):
    r"""Train near a network with enough zeros, found anew after each epoch, until both are one; then fix the zeros.

    $\min \mathcal{L}(W) + \tfrac{\rho}{2}\sum_l \|W_l - Z_l + U_l\|_F^2$, where $Z = \Pi_S(W + U)$ keeps the largest
    weights and $U \leftarrow U + W - Z$. The problem is not convex; the dual $U$ lets a small weight that resists long
    enough take the place of a larger one.

    When it fails: the weights must come near Z before the cut, which takes many epochs or a large rho; the residual
    that is shown says how far they are.
    """

    card: ClassVar = Card(
        key="admm", name="ADMM, elements", family=Family.PROXY, data=Data.TRAINING, time=Time.DURING,
        granularity=Granularity.ELEMENT, structure=Structure.UNSTRUCTURED,
        cost="one training with a penalty, one projection per epoch, and a training of what is left",
        paper=StructuredADMM.card.paper, published=StructuredADMM.card.published,
    builds_on=("mag",),)  # fmt: skip
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = StructuredADMM.scaled_down
    in_paper: ClassVar = (
        InPaper("scope", "per layer, with given ratios"),
        InPaper("rho", "1e-2 (a port)", False),
        InPaper("epochs", "40 rounds of several epochs (AlexNet)"),
        InPaper("weight_decay", "5e-4", False),
        *ours("growth"),
    )

    scope: Annotated[str, Choice(("network", "layer"), "Ranked within")] = "network"
    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch", step=0.1)] = 1.5

    def phases(self, goal: Goal) -> Iterator[Phase]:
        pattern, budget = Elements("network" if self.scope == "network" else "layer"), staged(goal, 1)
        hook = NearPattern(pattern, budget, self.rho, self.growth)
        yield Train(0.6, (hook,), keep="last", name="near the sparse network")
        yield Mask(pattern, Magnitude(), budget, name="its zeros")
        yield Train(0.4, (ZerosStay(),), name="what is left")
