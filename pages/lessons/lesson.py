"""What a lesson is: a few steps, each a question, a measurement that answers it, and what follows from it.

A new lesson is one file with one ``Lesson`` and one line in ``lessons.LESSONS``. All its texts stand there, whole
sentences with named places for what was measured, so that they can be translated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from pages.lessons.demo import Demo
from pages.ui.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Shown:
    """A figure, what fills the places of the sentence ``Step.found``, and where the numbers come from."""

    figure: go.Figure
    values: Mapping[str, str]
    sources: tuple[Provenance, ...]


@dataclass(frozen=True)
class Step:
    """``measure`` returns None while a background run that it shows has not ended."""

    question: str
    measure: Callable[[Demo], Shown | None]
    found: str
    meaning: str


@dataclass(frozen=True)
class Lesson:
    key: str
    title: str
    about: str
    steps: tuple[Step, ...]
