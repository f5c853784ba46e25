"""Numbers as people read them, units beside them. Shares and accuracies become per cent here and nowhere else."""

from __future__ import annotations

import math

from pages.ui.language import _

THIN = "\u202f"  # a narrow no-break space between number and unit


def count(value: float) -> str:
    """12,345 in full up to six digits; above that in M, G or T with three significant digits."""
    if abs(value) < 1e6:
        return f"{value:,.0f}"
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{THIN}{suffix}"
    return f"{_three_digits(value / 1e6)}{THIN}M"


def size_bytes(value: float) -> str:
    """Decimal units, as file managers and download pages print them."""
    for size, suffix in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{THIN}{suffix}"
    return f"{value:.0f}{THIN}B"


def percent(share: float, digits: int = 1) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.{digits}f}{THIN}%"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two accuracies or ratios, in percentage points, with its sign."""
    return _("{number}\u202fpoints").format(number=_signed(difference, digits))


def span(low: float, high: float) -> str:
    """The bounds of a difference: `−1.8 to +0.5 points`."""
    return _("{low} to {high}\u202fpoints").format(low=_signed(low), high=_signed(high))


def interval_text(low: float, high: float) -> str:
    return _("95\u202f% interval {low:.1f}–{high:.1f}").format(low=100 * low, high=100 * high)


def milliseconds(value: float) -> str:
    return f"{value:.0f}{THIN}ms" if value >= 100 else f"{_three_digits(value)}{THIN}ms"


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 12 min`; under ten seconds one digit more, and less than that in milliseconds."""
    if 0 < seconds < 0.095:
        return f"{max(1.0, 1000 * seconds):.0f}{THIN}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def fold(before: float, after: float) -> str:
    """`2.1× fewer`: how many times smaller `after` is."""
    if after <= 0 or before <= 0:
        return "–"
    return f"{before / after:.2f}×"


def _signed(difference: float, digits: int = 1) -> str:
    value = round(100 * difference, digits)
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{abs(value):.{digits}f}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    value = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-9))
    return f"{value:.{min(decimals, 4)}f}"
