"""How far several trainings have come together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pruning_core.training.events import Step


@dataclass
class Together:
    """Trainings one after the other, ``whole`` long in all: in epochs, or in any other unit that is alike for all.

    The time left is that of the present training's pace. At its last step it has no time left to tell a pace by, so
    the pace before is remembered.
    """

    whole: float
    _pace: float = field(default=0.0, init=False)

    def placed(self, event: Step, before: float, own: float) -> Step:
        """An event of a training ``own`` long, ``before`` it others of so much, with the share and time of all."""
        here = min(1.0, event.done) * own
        if event.done < 1.0:
            self._pace = event.seconds_left / (own - here)
        return replace(event, done=(before + here) / self.whole, seconds_left=self._pace * (self.whole - before - here))
