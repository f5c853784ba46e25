"""What a search run reports: its trials, and how the best of them do on images nobody chose by. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.allocation.trial import Trial
from pruning_core.measuring.measures import TOP1, Accuracy, Drop

UNIFORM = "uniform"  # stands where an explorer's key would: the same ratio everywhere, under the same budget


@dataclass(frozen=True)
class Tried:
    """A trial of the explorer whose card has the key ``by``.

    ``low`` and ``high`` bound the value of ``measure`` (95 %) on ``images`` held-out images.
    """

    by: str
    trial: Trial
    low: float
    high: float
    images: int
    measure: str = TOP1


@dataclass(frozen=True)
class Finalist:
    """Trial ``number`` of ``by`` on the test images; ``by`` may also be "unpruned" or "uniform".

    ``drop`` is what it lost against the unpruned network, ``behind`` what it lost against the control's best trial
    (negative: it is ahead), both paired on the same images; None where it would be compared with itself.
    """

    by: str
    number: int
    accuracy: Accuracy
    drop: Drop | None = None
    behind: Drop | None = None
