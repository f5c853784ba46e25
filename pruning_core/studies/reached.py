"""What a gradual pruning reports. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULED, AT_ONCE = "in steps", "at once"


def tag_of(way: str, step: int) -> str:
    """Training events of step ``step`` carry this tag."""
    return f"{way} {step}"


def way_of(tag: str) -> tuple[str, int]:
    """The way and the step that a tag names."""
    way, _, step = tag.rpartition(" ")
    return way, int(step)


@dataclass(frozen=True)
class Shrunk:
    """Step ``step`` of ``steps`` of one way has removed its channels; its training begins.

    ``plan`` is the JSON of what is gone so far, in units of the network the run began with; ``ratio`` the share of the
    channels of the planned groups that is gone; ``epochs`` how long is trained now.
    """

    way: str
    step: int
    steps: int
    ratio: float
    macs: int
    parameters: int
    epochs: int
    plan: str


@dataclass(frozen=True)
class Reached:
    """A step is finished: test accuracy before its training and with the weights that were kept.

    Accuracies are in [0, 1] on ``images`` test images with 95 % bounds; ``weights`` names the stored weights.
    """

    way: str
    step: int
    before: float
    before_low: float
    before_high: float
    after: float
    after_low: float
    after_high: float
    images: int
    seconds: float
    weights: str
