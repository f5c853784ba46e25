"""One network at several sizes, as pages show it: what was measured now, or when the demo was prepared. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pages.ui import provenance
from pages.ui.provenance import Provenance
from pruning_core.measuring.measures import Accuracy, Drop, Latency

if TYPE_CHECKING:
    from pages.ui.desk import Desk
    from pruning_core.zoo import ModelRef

PATH = Path(__file__).resolve().parents[2] / "assets" / "prepared.json"  # written by tools/prepared.py
SHOWN_FIRST = 0.4  # share of the MACs that the first page tells of


@dataclass(frozen=True)
class Size:
    """The network with ``share`` of its MACs; ``drop`` is against the whole one, None for itself.

    ``predicted`` and ``confidence`` are of the test images in their order; ``model`` is None where it is not at hand.
    """

    share: float
    macs: int
    parameters: int
    size_bytes: int
    accuracy: Accuracy
    latency: Latency
    drop: Drop | None
    predicted: Sequence[int]
    confidence: Sequence[float]
    plan: str
    model: ModelRef | None = None
    name: str = ""


@dataclass(frozen=True)
class Sizes:
    """From the largest to the smallest. ``measured`` is where accuracies come from, ``timed`` where times do."""

    title: str
    sizes: tuple[Size, ...]
    measured: Provenance
    timed: Provenance
    how: str
    prepared: bool = False

    @property
    def whole(self) -> Size:
        return self.sizes[0]


@lru_cache(maxsize=1)
def prepared() -> Sizes:
    """The first demo as it was measured when this copy of the dashboard was made."""
    stored = json.loads(PATH.read_text(encoding="utf-8"))
    when = f"Measured on {stored['date']}, when this was prepared, by {stored['command']}; torch {stored['torch']}."
    sizes = tuple(_stored(each) for each in stored["points"])
    whole = sizes[0]
    return Sizes(
        stored["title"],
        sizes,
        provenance.measured(
            stored["data"], images=stored["images"], device=stored["device"], seed=stored["seed"], note=when
        ),
        timing(whole.latency, when),
        f"channels ranked by {stored['criterion']}, the same share of every layer, then {stored['recovery']} on "
        f"{stored['recovery_images']} images of the training part",
        True,
    )


def is_prepared(desk: Desk) -> bool:
    """Whether it is the network and the data that were measured beforehand."""
    from pages.ui.desk import DEMOS

    return (desk.model, desk.data) == (DEMOS[0].ref, DEMOS[0].data)


def timing(latency: Latency, note: str = "") -> Provenance:
    threads = f", {latency.threads} thread{'' if latency.threads == 1 else 's'}" if latency.device == "CPU" else ""
    return provenance.measured(
        f"random images, batches of {latency.batch_size}, median of {latency.runs} passes",
        device=latency.device + threads,
        note=note,
    )


def _stored(point: Mapping[str, Any]) -> Size:
    drop = point["drop"]
    return Size(
        share=point["share"],
        **point["cost"],
        accuracy=Accuracy(**point["accuracy"]),
        latency=Latency(**point["latency"]),
        drop=Drop(**drop) if drop else None,
        predicted=[int(each) for each in point["predicted"].split()],
        confidence=[float(each) for each in point["confidence"].split()],
        plan=json.dumps(point["plan"]),
    )
