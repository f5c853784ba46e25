"""The survey's axes, and the card that places a criterion or method on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Granularity(StrEnum):
    ELEMENT = "element"
    VECTOR = "vector"
    KERNEL = "kernel"
    CHANNEL = "channel"
    LAYER = "layer"
    BLOCK = "block"


class Structure(StrEnum):
    STRUCTURED = "structured"
    SEMI = "semi-structured"
    UNSTRUCTURED = "unstructured"


class Family(StrEnum):
    MAGNITUDE = "magnitude"
    PENALTY = "penalty"
    PROXY = "proxy problem"
    ACTIVATION = "importance: activations"
    GRADIENT = "importance: gradients"
    REDUNDANCY = "redundancy"
    SAMPLING = "sampling"
    CLUSTERING = "clustering"
    KERNELS = "kernels"
    SEARCH = "search"
    RATIOS = "ratio per layer"
    SCHEDULE = "schedule"
    INITIALISATION = "at initialisation"
    DYNAMIC = "dynamic"
    CONTROL = "control"


class Time(StrEnum):
    BEFORE = "before training"
    DURING = "during training"
    AFTER = "after training"


class Execution(StrEnum):
    STATIC = "static"
    DYNAMIC = "dynamic"


class Data(StrEnum):
    NONE = "none"
    UNLABELLED = "unlabelled batches"
    LABELS = "labelled batches"
    LABELLED = "labelled batches with gradients"
    TRAINING = "full training"


@dataclass(frozen=True)
class Paper:
    """Where an idea was published. ``arxiv`` is the bare identifier, such as ``1608.08710``."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None

    @property
    def url(self) -> str | None:
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None


@dataclass(frozen=True)
class Published:
    """One published result. ``verified`` is False when it was read in a secondary source."""

    network: str
    dataset: str
    result: str
    source: str
    verified: bool


@dataclass(frozen=True)
class Card:
    """What the taxonomy knows of one criterion or method; the docstring adds the prose.

    ``formula`` is LaTeX without delimiters; ``cost`` is the order of growth in words.
    """

    key: str
    name: str
    idea: str
    formula: str
    granularity: Granularity
    structure: Structure
    family: Family
    time: Time
    execution: Execution
    data: Data
    cost: str
    fails: str
    paper: Paper | None = None
    published: tuple[Published, ...] = ()


def channel_card(
    key: str,
    name: str,
    *,
    idea: str,
    formula: str,
    family: Family,
    data: Data,
    cost: str,
    fails: str,
    time: Time = Time.AFTER,
    paper: Paper | None = None,
    published: tuple[Published, ...] = (),
) -> Card:
    """The card of what removes whole channels, once and for all inputs: what these have in common is said once."""
    return Card(
        key=key,
        name=name,
        idea=idea,
        formula=formula,
        granularity=Granularity.CHANNEL,
        structure=Structure.STRUCTURED,
        family=family,
        time=time,
        execution=Execution.STATIC,
        data=data,
        cost=cost,
        fails=fails,
        paper=paper,
        published=published,
    )
