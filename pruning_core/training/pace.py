"""How fast a training goes, and how long it still takes."""

from __future__ import annotations

import time
from math import ceil

from pruning_core.training.config import FineTune


class Pace:
    """Times windows of steps and whole checks; what is not yet known counts as nothing."""

    def __init__(self, config: FineTune, steps: int, spent: float = 0.0) -> None:
        self._config, self._steps = config, steps
        self._origin = time.perf_counter() - spent
        self._window_start, self._window_steps, self._window_images = time.perf_counter(), 0, 0
        self._step_s = self._check_s = 0.0
        self.images_per_s = 0.0

    @property
    def spent(self) -> float:
        """Seconds of work, earlier attempts included."""
        return time.perf_counter() - self._origin

    @property
    def window(self) -> float:
        """Seconds since the window was opened."""
        return time.perf_counter() - self._window_start

    def stepped(self, images: int) -> None:
        self._window_steps += 1
        self._window_images += images

    def close_window(self) -> None:
        """Take the steps since the window was opened as the present pace, and open the next one."""
        if self._window_steps:
            seconds = max(self.window, 1e-9)
            self._step_s = seconds / self._window_steps
            self.images_per_s = self._window_images / seconds
        self.open_window()

    def open_window(self) -> None:
        self._window_start, self._window_steps, self._window_images = time.perf_counter(), 0, 0

    def checked(self, seconds: float) -> None:
        self._check_s = seconds

    def left(self, position: float) -> float:
        """Seconds until the end, after ``position`` epochs."""
        known = []
        if self._config.epochs:
            epochs = max(0.0, self._config.epochs - position)
            known.append(epochs * self._steps * self._step_s + ceil(epochs) * self._check_s)
        if self._config.minutes:
            known.append(max(0.0, 60 * self._config.minutes - self.spent) + self._check_s)
        return min(known)
