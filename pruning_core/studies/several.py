"""How far several trainings have come together."""

from __future__ import annotations

from dataclasses import replace

from pruning_core.training.events import Step


def of_several(event: Step, before: int, own: int, whole: int) -> Step:
    """An event of a training of ``own`` epochs, ``before`` it others of so many, with the share and time of ``whole``.

    The time left is that of this training's pace.
    """
    here = max(event.done, 1e-9) * own
    pace = event.seconds_left / max(1e-9, own - here)
    return replace(event, done=(before + here) / whole, seconds_left=pace * (whole - before - here))
