"""One layer after the other, each cut and then made good before the next one is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pruning_core.criteria import Criterion, GreedyReconstruction, L1Norm
from pruning_core.knobs import Choice
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Mend, Phase, Recover, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, uniform_counts
from pruning_core.taxonomy import Card, Data, Family


@dataclass(frozen=True)
class LayerByLayer(Method):
    r"""Cut one layer, make good what that did, and only then judge the next one.

    $\theta_{l} = \operatorname{tune}\big(\operatorname{cut}_l(\theta_{l-1})\big), \quad l = 1, \dots, L$, in the order
    of the network: each layer is judged as it is after all that was done before it, and never more than one cut has to
    be made good at a time. Layers whose channels are added up are cut together. Every layer loses the same share.

    When it fails: a short training after each of many layers costs as many epochs, and mending by least squares follows
    what the network was, mistakes included. What an early layer lost in error is not given back later.
    """

    card: ClassVar = Card(
        key="sched-layerwise",
        name="Layer by layer",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="scores and mending, or an epoch, for every layer; then one training",
        paper=GreedyReconstruction.card.paper,
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "ThiNet trains one or two epochs after every layer; here each layer is mended by least squares on a few images "
        "unless you choose the training, and one training follows at the end."
    )
    in_paper: ClassVar = (
        InPaper("after", "training"),
        InPaper("epochs", "1 or 2 after every layer"),
    )

    criterion: Criterion = field(default_factory=L1Norm)
    after: Annotated[
        str,
        Choice(
            ("mending", "statistics", "training"),
            "After each layer",
            help="least squares for what reads the layer; new batch-norm statistics; or at least one epoch of training",
        ),
    ] = "mending"

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        keys = [group.key for group in cuttable(goal.network) if counts.get(group.key)]
        for key in keys:
            yield Cut(self.criterion, Widths({key: counts[key]}), name=f"{key}")
            yield self._good(key, 0.5 / len(keys))
        yield Train(0.5 if self.after == "training" else 1.0, name="all of it")

    def _good(self, key: str, share: float) -> Phase:
        match self.after:
            case "training":
                return Train(share, name=f"after {key}")
            case "statistics":
                return Recover(name=f"after {key}")
            case _:
                return Mend(name=f"after {key}")
