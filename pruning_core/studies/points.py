"""What a comparison of criteria reports: scores that were stored, and one point per measured network. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pruning_core.measuring.measures import TOP1

ORIGIN = "unpruned"  # stands where a criterion's label would: the network that nothing was removed from


class When(StrEnum):
    """At which moment of its life a pruned network was measured."""

    PRUNED = "right after pruning"
    RECALIBRATED = "after batch-norm recalibration"
    MENDED = "after mending"
    TUNED = "after fine-tuning"


@dataclass(frozen=True)
class Scored:
    """One criterion has judged a network; ``digest`` names the file of its scores (``runs.scores.read_scores``).

    ``criterion`` is its label, ``key`` its card's; ``draw`` numbers the seeds of a random one, 0 for all others.
    ``seconds`` is what the criterion costs alone, on ``images`` images and ``device``; ``missing`` says for each group
    without scores why there are none.
    """

    criterion: str
    key: str
    draw: int
    seconds: float
    images: int
    device: str
    digest: str
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """What one really pruned network is worth by ``measure`` at one moment.

    ``budget`` is the share of the MACs that was allowed, ``macs`` and ``parameters`` what the network has.
    ``low`` and ``high`` bound ``top1``, the value of the measure (95 %), on ``images`` images; ``top5`` is None with
    fewer than six classes. ``drop`` is how much worse it is than the unpruned network at the same moment on the same
    images, paired, with its 95 % bounds; None for the unpruned network itself. ``seconds`` is what this moment took to
    prepare (removal, recalibration or training), not to measure. ``latency_ms`` is the median of one pass of one image,
    None where it was not timed.
    """

    criterion: str
    key: str
    draw: int
    budget: float
    when: str
    macs: int
    parameters: int
    top1: float
    top5: float | None
    low: float
    high: float
    images: int
    seconds: float
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    latency_ms: float | None = None
    measure: str = TOP1

    @property
    def place(self) -> tuple[str, int, float, str]:
        """What tells it from every other point of its run."""
        return self.criterion, self.draw, self.budget, self.when


@dataclass(frozen=True)
class OutOfReach:
    """This criterion cannot keep to this budget; ``sentence`` says why and what it could reach."""

    criterion: str
    draw: int
    budget: float
    sentence: str
