"""What each visitor of `benchmarks.load` does, and what all of them have met; here by web socket, without a browser."""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass, field

from tools.visitor import Visitor

BETWEEN_S = 1.0  # clicks, in the mean
OWN = [[f"{100 * each:.0f} %" for each in some] for some in itertools.combinations((0.1, 0.3, 0.5, 0.7, 0.9), 3)] + [
    [f"{100 * each:.0f} %" for each in some] for some in itertools.combinations((0.1, 0.3, 0.5, 0.7, 0.9), 2)
]  # the ratios of each visitor's sweep


@dataclass
class Seen:
    """What all visitors have met."""

    clicks_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def visit(address: str, number: int, until: float, seen: Seen) -> None:
    dice = random.Random(number)
    try:
        with Visitor(address) as visitor:
            visitor.open()
            visitor.open("sensitivity")
            visitor.choose(visitor.widget("button_group", "Ratios"), *OWN[number % len(OWN)])
            visitor.press("Start the sweep")
            visitor.open("whatif")
            while time.monotonic() < until:
                time.sleep(dice.uniform(0, 2 * BETWEEN_S))
                slider = next(each for each in visitor.all("slider") if not each.options)
                began = time.perf_counter()
                visitor.slide(slider, dice.randrange(0, 90, 5))
                seen.clicks_s.append(time.perf_counter() - began)
                wrong = [each.body for each in visitor.all("alert") if each.format == 1] + visitor.all("exception")
                seen.errors.extend(map(str, wrong))
    except Exception as error:  # counted, not hidden
        seen.errors.append(f"{type(error).__name__}: {error}"[:300])


def crowd(address: str, visitors: int, until: float, seen: Seen) -> None:
    """All of them at once, until ``time.monotonic()`` is ``until``."""
    threads = [threading.Thread(target=visit, args=(address, number, until, seen)) for number in range(visitors)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
