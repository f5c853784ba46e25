"""AutoSlim: one network trained at many widths, then made narrower where that hurts least."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.allocation.greedy import Greedy
from pruning_core.allocation.search import Search
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.phases import Cut, FindWidths, Learnt, Phase, Recover, Train, Zeros
from pruning_core.methods.slimmable import Narrowest, Sandwich, WidthOrder
from pruning_core.methods.staged import staged
from pruning_core.taxonomy import Card, Data, Family, Published, Time


@dataclass(frozen=True)
class AutoSlim(Method):
    r"""Train one network at many widths at once, then take channels where the held-out accuracy falls least.

    $\mathcal{L}(w_{\max}, y) + \sum_{w \in \{w_{\min}, w_1, w_2\}} \operatorname{CE}\big(f_w(x),
    \operatorname{softmax} f_{w_{\max}}(x)\big)$, the sandwich rule: every step trains the widest network on the labels,
    and the narrowest and two random ones on what the widest says. Then, from the widest on, a part of each layer is
    tried without, with new batch-norm statistics and on held-out images, and the removal that costs least is made,
    until the budget is kept. Which channels go first was fixed before: those with the smallest filters.

    When it fails: a step costs as much as four. The search takes as many trials as there are layers, for every part
    that goes, and single trials inside the noise are decided by the loss.
    """

    card: ClassVar = Card(
        key="autoslim-trained",
        name="AutoSlim",
        family=Family.SEARCH,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training with four widths per step, layers x steps evaluations, and a training",
        paper=Greedy.card.paper,
        published=(
            Published(
                "ResNet-50", "ImageNet", "76.0 % at 3.0 GFLOPs, 74.0 % at 1", "JiahuiYu/slimmable_networks", True
            ),
            Published("MobileNetV2", "ImageNet", "74.2 % at 305 MFLOPs", "JiahuiYu/slimmable_networks", True),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains the slimmable network from scratch for tens of epochs, and the widths it finds from scratch "
        "again; here the given network becomes slimmable in a few epochs, and the narrow one keeps its weights. The "
        "parts that are tried are larger, and measured on a few hundred images."
    )
    in_paper: ClassVar = (
        InPaper("narrowest", UNREAD),
        InPaper("part", "one channel group, as its configuration says"),
        InPaper("epochs", "tens, and as many again from scratch", False),
    )

    narrowest: Narrowest = 0.25
    part: Annotated[float, Range(0.05, 0.5, "Part of a layer per trial", step=0.05)] = 0.25

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        yield Train(0.5, (WidthOrder(self.narrowest),), Sandwich(self.narrowest), keep="last", name="at several widths")
        yield FindWidths(Learnt(), Search(Greedy(self.part)), budget, name="greedy slimming")
        yield Cut(Learnt(), Zeros(), name="what it does without")
        yield Recover(name="statistics")
        yield Train(0.5, name="what is left")
