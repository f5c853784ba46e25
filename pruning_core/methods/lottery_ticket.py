"""Lottery tickets: the weights that survive a training, with the values that they began with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.knobs import Choice, Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Mask, Phase, Reinitialise, Rewind, Snapshot, Train
from pruning_core.methods.saliency import Magnitude
from pruning_core.methods.staged import staged
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Elements
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Structure

GIVEN, NEW, EARLY = "the given weights", "new random weights", "new weights, trained a little"
START = "start"


@dataclass(frozen=True)
class LotteryTicket(Method):
    r"""Train, set the smallest weights to zero, give the others the values that they began with (rewinding), and again.

    $f(x;\, m \odot \theta_0)$: a mask $m$ found by training is put on the weights $\theta_0$ from before it, the
    winning ticket; each round removes the same share of what is left. In deep networks the ticket is found only when
    it goes back to weights that were trained a little ($\theta_k$).

    When it fails: few epochs find no tickets, since what survives must have had the time to grow. Every round is a
    whole training. The result is sparse without structure, so it is not faster.
    """

    card: ClassVar = Card(
        key="lth",
        name="Lottery ticket",
        family=Family.MAGNITUDE,
        data=Data.TRAINING,
        granularity=Granularity.ELEMENT,
        structure=Structure.UNSTRUCTURED,
        cost="one whole training for every round, and one in the end",
        paper=Paper(
            "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks",
            "Frankle, Carbin",
            "ICLR",
            2019,
            "1803.03635",
        ),
        builds_on=("mag",),
    )
    outcome: ClassVar = Outcome.SPARSE
    scaled_down: ClassVar[str] = (
        "The paper removes 20 % of the weights in each of a dozen rounds or more, and trains 160 epochs for each; here "
        "it is a few rounds of a few epochs, which shows a trend and no winning tickets."
    )
    in_paper: ClassVar = (
        InPaper("rewind", "the first random weights; later papers 0.1 to 7 % into the training"),
        InPaper("rounds", "12 or more, 20 % each"),
        InPaper("epochs", "160 per round (ResNet-20)"),
        InPaper("lr", "0.1, a tenth after 80 and 120 epochs"),
    )

    rewind: Annotated[str, Choice((GIVEN, NEW, EARLY), "Go back to")] = GIVEN
    rounds: Annotated[int, Range(1, 8, "Rounds", step=1)] = 2

    def phases(self, goal: Goal) -> Iterator[Phase]:
        if self.rewind != GIVEN:
            yield Reinitialise(name="new weights")
        if self.rewind == EARLY:
            yield Train(0.2 / (self.rounds + 1), keep="last", name="a little training")
        yield Snapshot(START, name="what to go back to")
        for number in range(1, self.rounds + 1):
            named = f", round {number}"
            yield Train(1 / (self.rounds + 1), (ZerosStay(),), keep="last", name=f"to the end{named}")
            budget = staged(goal, number / self.rounds)
            yield Mask(Elements(), Magnitude(), budget, name=f"the smallest weights{named}")
            yield Rewind(START, zeros=True, name=f"the ticket{named}")
        yield Train(1 / (self.rounds + 1), (ZerosStay(),), name="the ticket, trained")
