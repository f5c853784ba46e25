"""What a gradual pruning reports. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.measuring.measures import Accuracy

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

    ``seconds`` is what the training took; ``weights`` names the stored weights. Raises TypeError for what version 3 of
    the run and older ones stored: bare numbers instead of accuracies.
    """

    way: str
    step: int
    before: Accuracy
    after: Accuracy
    seconds: float
    weights: str

    def __post_init__(self) -> None:
        if not (isinstance(self.before, Accuracy) and isinstance(self.after, Accuracy)):
            raise TypeError("accuracies come with their images and intervals")
