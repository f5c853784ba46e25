"""The card of a latency: what was timed is said beside it, and is no image of any data set."""

from __future__ import annotations

from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, numbers, provenance
from pages.ui.language import _
from pruning_core.measuring.measures import Latency


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
