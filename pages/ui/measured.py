"""Values of any measure as people read them: with its name, its unit, and which way is better.

What is measured is looked up when a page asks: the measures need torch, and the first paint does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pages.ui import numbers
from pages.ui.language import N_, _, said
from pages.ui.numbers import THIN
from pages.ui.theme import PERCENT
from pruning_core.measuring.measures import TOP1

if TYPE_CHECKING:
    from pages.ui.desk import Desk
    from pruning_core.measuring.measure import Measure

HOW = {
    True: N_("Below: the 95 % Wilson interval."),
    False: N_("Below: the 95 % interval, from bootstrap samples of these images."),
}


class Known(Protocol):
    """A value of a measure with its 95 % interval."""

    @property
    def top1(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def measure(self) -> str: ...


def measure(key: str) -> Measure:
    """Raises UserError for one that this version does not know."""
    from pruning_core.measuring.registry import named

    return named(key)


def of_desk(desk: Desk) -> Measure:
    """What the network on the desk is judged by. Raises UserError where what was chosen cannot judge it."""
    from pages.ui import state
    from pruning_core.studies.judging import judge

    return judge(state.loaded(desk.model), state.splits(desk.data)[1], desk.data.measure)


def key_of(desk: Desk) -> str:
    """The key of what the network on the desk is judged by; of accuracy where nothing can be (what is started says
    why)."""
    from pruning_core.errors import UserError

    try:
        return of_desk(desk).key
    except UserError:
        return TOP1


def value(of: Known) -> str:
    return written(of.measure, of.top1)


def written(key: str, number: float) -> str:
    """`97.8 %`, `31.2 dB`, `0.0123`."""
    unit = measure(key).unit
    if unit == "share":
        return numbers.percent(number)
    return f"{number:.1f}{THIN}dB" if unit == "dB" else f"{number:.4g}"


def bounds(of: Known) -> str:
    """`96.2–98.9`: beside a value, in its unit."""
    return span_of(of.measure, of.low, of.high)


def text(of: Known) -> str:
    """`97.8 % (96.2–98.9)`: a value never goes without its 95 % interval."""
    return f"{value(of)} ({bounds(of)})"


def difference(key: str, number: float) -> str:
    """With its sign: in points, in decibels, or as it is."""
    unit = measure(key).unit
    if unit == "share":
        return numbers.points(number)
    rounded = round(number, 1) if unit == "dB" else float(f"{number:.3g}")
    sign = "+" if rounded > 0 else "−" if rounded < 0 else "±"
    return f"{sign}{abs(rounded):.1f}{THIN}dB" if unit == "dB" else f"{sign}{abs(rounded):g}"


def span(key: str, low: float, high: float) -> str:
    """The bounds of a difference: `−1.8 to +0.5 points`."""
    if measure(key).unit == "share":
        return numbers.span(low, high)
    first, last = difference(key, low), difference(key, high)
    return _("{low} to {high}").format(low=first.removesuffix(f"{THIN}dB"), high=last)


def tolerance(key: str, share: float) -> str:
    """How far a share of what counts as a whole is, to each side: in points or decibels where a whole is always the
    same, else a share of what the targets differ by."""
    found = measure(key)
    if found.unit == "share":
        return _("± {n:g} points").format(n=100 * share)
    if found.unit == "dB":
        return f"± {share * found.scale:g} dB"
    return _("± {n:g} % of the targets' spread").format(n=100 * share)


def lost(key: str) -> str:
    """What a worse network has lost, or what its error has gained: the title of a scale."""
    found = measure(key)
    return (_("{measure} lost") if found.rises else _("{measure} added")).format(measure=said(found.name))


def unit_of(key: str) -> str:
    """Beside the title of a scale of differences; "" where the measure has no unit."""
    return {"share": _("(points)"), "dB": "(dB)"}.get(measure(key).unit, "")


def factor(key: str) -> float:
    """By what differences are multiplied to be in that unit."""
    return 100.0 if measure(key).unit == "share" else 1.0


def named_in(key: str) -> str:
    """Its name within a sentence: `accuracy`, `mean IoU`, but `PSNR`."""
    return _within(said(measure(key).name))


def lost_in(key: str) -> str:
    """`lost` within a sentence."""
    return _within(lost(key))


def _within(name: str) -> str:
    return name if name[:2].isupper() or name.startswith("R²") else name[0].lower() + name[1:]


def axis_title(key: str) -> str:
    """What stands beside an axis of values: `Accuracy`, `PSNR (dB)`."""
    found = measure(key)
    return f"{said(found.title)} (dB)" if found.unit == "dB" else said(found.title)


def ticks(key: str) -> str | None:
    """How values are written along an axis (d3's format): shares in per cent, others as the figure finds it best."""
    return PERCENT if measure(key).unit == "share" else None


def span_of(key: str, low: float, high: float) -> str:
    """`96.2–98.9`: two values, in the unit of the measure."""
    unit = measure(key).unit
    if unit == "share":
        return f"{100 * low:.1f}–{100 * high:.1f}".replace("-", "−")
    return f"{low:.1f}–{high:.1f}" if unit == "dB" else f"{low:.4g}–{high:.4g}"


def with_interval(key: str, number: float, low: float, high: float) -> str:
    """`97.8 % (96.2–98.9)`, of numbers that stand in a table."""
    return f"{written(key, number)} ({span_of(key, low, high)})"


def interval_help(key: str) -> str:
    """How the bounds below a value were found."""
    return _(HOW[measure(key).decides])


def sentence(key: str) -> str:
    """What its values are, and which way is better."""
    says = said(measure(key).says)
    return _("{says}; {way}.").format(says=f"{says[0].upper()}{says[1:]}", way=way(key))


def way(key: str) -> str:
    """Which direction is better, as the end of a sentence."""
    return _("higher is better") if measure(key).rises else _("lower is better")
