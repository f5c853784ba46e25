"""What a lesson is: a few steps, each a question, a measurement that answers it, and what follows from it.

A new lesson is one file with one ``Lesson`` and one line in ``lessons.LESSONS``. All its texts stand there, whole
sentences with named places for what was measured, so that they can be translated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pages.ui.demo import Demo, Shown


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
