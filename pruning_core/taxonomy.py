"""The survey's axes, and the card that places a criterion or method on them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from inspect import cleandoc

FAILS = "When it fails:"


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
    SHORTCUTS = "residual connections"
    SCHEDULE = "schedule"
    RECOVERY = "recovery"
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


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the taxonomy knows of a criterion, allocation, search, schedule, recovery or method, as its class attribute.

    The prose stands once, in the docstring of that class: the first paragraph is the ``idea``, what stands between the
    first two dollar signs the ``formula`` (LaTeX), and the paragraph that begins with "When it fails:" says when it
    ``fails``. ``cost`` is the order of growth in words. What most have in common (whole channels, once for all inputs,
    of a trained network) is the default. ``builds_on``: keys of the cards whose idea its paper takes up, extends or
    answers.
    """

    key: str
    name: str
    family: Family
    data: Data
    cost: str
    granularity: Granularity = Granularity.CHANNEL
    structure: Structure = Structure.STRUCTURED
    time: Time = Time.AFTER
    execution: Execution = Execution.STATIC
    paper: Paper | None = None
    published: tuple[Published, ...] = ()
    builds_on: tuple[str, ...] = ()
    idea: str = field(default="", init=False)
    formula: str = field(default="", init=False)
    fails: str = field(default="", init=False)

    def __set_name__(self, owner: type, name: str) -> None:
        """Called by Python when a class body holds a card; a subclass that says nothing shares its parent's."""
        for part, text in asdict(Prose.of(owner.__doc__ or "")).items():
            object.__setattr__(self, part, text)


@dataclass(frozen=True)
class Prose:
    """The parts of a docstring that a card shows; a part that is not there is empty."""

    idea: str
    formula: str
    fails: str

    @staticmethod
    def of(docstring: str) -> Prose:
        paragraphs = [" ".join(part.split()) for part in cleandoc(docstring).split("\n\n")]
        fails = next((p.removeprefix(FAILS).strip() for p in paragraphs if p.startswith(FAILS)), "")
        formula = re.search(r"\$([^$]+)\$", " ".join(paragraphs))
        return Prose(paragraphs[0], formula[1] if formula else "", fails[:1].upper() + fails[1:])
