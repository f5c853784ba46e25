"""All lessons, in the order in which they build on each other."""

from pages.lessons import choosing, layers, norms, redundancy, speed, training
from pages.lessons.lesson import Lesson

LESSONS: tuple[Lesson, ...] = (
    redundancy.LESSON,
    norms.LESSON,
    layers.LESSON,
    choosing.LESSON,
    speed.LESSON,
    training.LESSON,
)
