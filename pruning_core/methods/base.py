"""What a method is, for whoever writes the next one.

A method is **one frozen class and one line in** ``registry.METHODS``. It does nothing itself. It says, as data, which
**phases** reach a goal (:mod:`.phases`), and the one interpreter performs them (:func:`.perform.perform`): so a page
draws the timeline before anything runs, and cancel, resume, checkpoints, proofs and events come for free.

* ``Train`` trains with **hooks** (:mod:`pruning_core.training.hooks`): penalties, masks, gates trained with weights.
  What a method does *while* it trains is a hook; a hook owns parameters, keeps a state and is resumed exactly.
* ``Train`` may have an **objective** of its own (:mod:`pruning_core.training.loss`): a teacher, several widths at once.
* ``Cut`` judges channels by a criterion, or by what hooks have learnt (``Learnt``), and really removes them, proved.
* ``Apply``, ``Recover``, ``Mend``, ``Snapshot``, ``Rewind``: remove given units, renew statistics, refit what reads
  what is left, remember, go back. What users choose of these is a recovery (:mod:`.recoveries`).
* ``Judge``, ``FindWidths`` decide a later ``Cut``: what a :mod:`.judgement` makes of images, which widths do best.

A complete example: Network Slimming, which trains with a penalty on the scales of batch norms, cuts the channels with
small ones, and trains again::

    from collections.abc import Iterator
    from dataclasses import dataclass
    from typing import Annotated, ClassVar

    import torch
    from torch import Tensor, nn

    from pruning_core.allocation.budget import Budget
    from pruning_core.allocation.global_threshold import GlobalThreshold
    from pruning_core.criteria import BatchNormScale
    from pruning_core.datasets import DIGITS, hold_out, load_splits
    from pruning_core.graph import Network, capture
    from pruning_core.knobs import Range
    from pruning_core.methods.base import Goal, Method, Outcome
    from pruning_core.methods.perform import Done, perform
    from pruning_core.methods.phases import Cut, Phase, Train, Within
    from pruning_core.methods.state import Setup, State
    from pruning_core.methods.units import Slices, scales, without_scales
    from pruning_core.taxonomy import Card, Data, Family, Time
    from pruning_core.training.config import FineTune
    from pruning_core.training.events import Epoch
    from pruning_core.training.hooks import Hook, HookSpec, Moment
    from pruning_core.zoo import DEMOS, load_model

    @dataclass(frozen=True)
    class SmallScales(HookSpec):
        strength: Annotated[float, Range(0.0, 1.0, "Penalty on batch-norm scales")] = 1e-3

        def begin(self, model: nn.Module, network: Network) -> Hook:
            return _SmallScales(self.strength, [each for own in scales(model, network).values() for each in own])

    class _SmallScales(Hook):
        def __init__(self, strength: float, found: list[Slices]) -> None:
            self.strength, self.found = strength, found

        def penalty(self, moment: Moment) -> Tensor:
            return self.strength * torch.stack([each.rows().abs().sum() for each in self.found]).sum()

    @dataclass(frozen=True)
    class Slimming(Method):
        '''Small scales of batch norms show which channels can go.

        The penalty $\\lambda \\sum_c |\\gamma_c|$ pulls the scales of channels that are not needed to zero.

        When it fails: networks without batch norms have no such scales.
        '''

        card: ClassVar = Card(
            key="slimming-example", name="Slimming", family=Family.PENALTY, data=Data.TRAINING, time=Time.DURING,
            cost="two trainings",
        )
        outcome: ClassVar = Outcome.SMALLER
        strength: Annotated[float, Range(0.0, 1.0, "Penalty on batch-norm scales")] = 1e-3

        def obstacle(self, network: Network) -> str:
            return without_scales(network)

        def phases(self, goal: Goal) -> Iterator[Phase]:
            yield Train(0.5, (SmallScales(self.strength),), keep="last", name="with small scales")
            yield Cut(BatchNormScale(), Within(GlobalThreshold(), goal.budget), name="the smallest scales")
            yield Train(0.5, name="without them")

    loaded = load_model(DEMOS[0].ref)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    train, test = load_splits(DIGITS)
    fit, held_out = hold_out(train, DIGITS)
    setup = Setup(fit, fit, held_out, test, FineTune(epochs=2, batch_size=256, device="cpu"))

    method, goal = Slimming(strength=0.01), Goal(network, Budget("macs", fraction=0.6))
    assert not method.obstacle(network)
    for event in perform(tuple(method.phases(goal)), State.of(loaded.model, network), setup):
        match event:
            case Epoch():
                print(f"epoch {event.epoch}: {event.top1:.3f}, penalty {event.penalty}")
            case Done(phase=phase, state=state):
                print(f"{phase.name}: {network.cost(state.plan).macs:,} MACs")
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Network
from pruning_core.knobs import Knobbed
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Phase
from pruning_core.taxonomy import Card


class Outcome(StrEnum):
    """What comes out, in words that can follow "ends in"."""

    SMALLER = "a smaller network"
    SPARSE = "a network of the same shape, with zeros in it"
    REGROUPED = "a network of grouped convolutions"
    SHALLOWER = "a network with fewer layers"
    DYNAMIC = "a network that computes less for easy images"


@dataclass(frozen=True)
class Goal:
    """What a person asks for: ``network``, the capture of what is there, within ``budget`` of what it costs."""

    network: Network
    budget: Budget


@dataclass(frozen=True)
class Method(Knobbed, ABC):
    """A subclass is a frozen dataclass whose docstring says what it does and when it fails (``taxonomy.Card``).

    Its annotated fields are its knobs; other fields are frozen values, such as a criterion. ``outcome`` is what it ends
    in, ``scaled_down`` what is smaller here than in its paper, ``in_paper`` its paper's numbers beside the knobs;
    ``budgeted`` is False where its pattern alone says how much is left. Raises ValueError for a knob out of range.
    """

    card: ClassVar[Card]
    outcome: ClassVar[Outcome]
    scaled_down: ClassVar[str] = ""
    in_paper: ClassVar[tuple[InPaper, ...]] = ()
    budgeted: ClassVar[bool] = True

    @property
    def of_channels(self) -> bool:
        """Whether it removes channels, so that it matters what becomes of those that an addition couples."""
        return self.outcome is Outcome.SMALLER

    def obstacle(self, network: Network) -> str:
        """ "" when it can run on this network, else the sentence that says why it cannot."""
        return ""

    @abstractmethod
    def phases(self, goal: Goal) -> Iterator[Phase]:
        """What is done, in order. Pure: it runs nothing, and the same goal gives the same phases."""
