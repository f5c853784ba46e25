"""The card of a latency: what was timed is said beside it, and is no image of any data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from streamlit.delta_generator import DeltaGenerator

from pages.ui import bars, cards, numbers, provenance
from pages.ui.language import N_, _
from pruning_core.measuring.beside import InTurns
from pruning_core.measuring.measures import Latency

TOO_NOISY = N_("too noisy to tell")
LOOSE = 3.0  # times as long as a quick pass, a slow one: of passes by the hundred a few are always slow


def unclear(*found: InTurns) -> str:
    """The sentence for times that tell nothing, because something else ran beside; "" where they do tell."""
    noisy = [each for each in found if each.noisy]
    if not noisy:
        return ""
    worst = max(noisy, key=lambda each: each.high_ms / each.low_ms)
    return _(
        "**Too noisy to tell.** Equal passes took from {low} to {high} here, and their median may lie anywhere from "
        "{least} to {most}: something else is at work on this machine. Measure again when it is quiet."
    ).format(
        low=numbers.milliseconds(worst.p10_ms), high=numbers.milliseconds(worst.p90_ms),
        least=numbers.milliseconds(worst.low_ms), most=numbers.milliseconds(worst.high_ms),
    )  # fmt: skip


def unclear_share(each: InTurns) -> str:
    """The same for its part of the first one's time."""
    if not each.unsure:
        return ""
    return _(
        "**Too noisy to tell.** In equal rounds the time that is left may lie anywhere from {low} to {high}: something "
        "else is at work on this machine. Measure again when it is quiet."
    ).format(low=numbers.percent(each.low, 0), high=numbers.percent(each.high, 0))


def loose(each: Latency) -> bool:
    """Whether single passes lie so far apart that their median tells little: of times that know no interval."""
    return each.p90_ms > LOOSE * each.p10_ms


def told(each: InTurns) -> str:
    """The median, or that there is none to tell."""
    return _(TOO_NOISY) if each.noisy else numbers.milliseconds(each.median_ms)


def share(each: InTurns) -> str:
    """Its part of the first one's time, with its interval."""
    if each.unsure:
        return _(TOO_NOISY)
    return f"{numbers.percent(each.share, 0)} ({100 * each.low:.0f}–{100 * each.high:.0f})"


def bars_of(found: Mapping[str, InTurns], names: Sequence[str], alt: str, **looks: Any) -> go.Figure:
    """A bar for each, what is noisy without one; `names` are what is written for them, `looks` as for ``bars.bars``."""
    shown = list(found.values())
    return bars.bars(
        names, [0.0 if each.noisy else each.median_ms for each in shown],
        low=[0.0 if each.noisy else each.low_ms for each in shown],
        high=[0.0 if each.noisy else each.high_ms for each in shown],
        alt=alt, x_title=_("Time of one pass, ms"), told=[told(each) for each in shown], **looks,
    )  # fmt: skip


def indistinct(before: Latency, after: Latency) -> bool:
    """Whether one median lies within what the other network took for most passes: no difference can be told."""
    return before.p10_ms <= after.median_ms <= before.p90_ms or after.p10_ms <= before.median_ms <= after.p90_ms


def card(name: str, latency: Latency, before: Latency | None, place: DeltaGenerator) -> None:
    source = provenance.measured(
        _("random images, batches of {n}, {passes} passes").format(n=latency.batch_size, passes=latency.runs),
        device=provenance.processor(latency.device, latency.threads),
        note=(_("As torch.compile makes it.") + " " if latency.compiled else "")
        + _("Median; 10th to 90th percentile {low:.3g} to {high:.3g} ms.").format(
            low=latency.p10_ms, high=latency.p90_ms
        ),
    )
    cards.number(
        name,
        numbers.milliseconds(latency.median_ms),
        source,
        detail=f"{latency.p10_ms:.3g}–{latency.p90_ms:.3g} ms",
        delta=numbers.percent(latency.median_ms / before.median_ms - 1) if before else None,
        delta_color="off" if before and indistinct(before, latency) else "inverse",
        help=_("Median of one batch; below: 10th to 90th percentile."),
        container=place,
    )
