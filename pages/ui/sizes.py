"""One network at several sizes, as pages show it: what was measured now, or when the demo was prepared. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pages.ui import provenance
from pages.ui.language import LANGUAGES, _, current, said
from pages.ui.provenance import Provenance
from pruning_core.measuring.measures import TOP1, Accuracy, Drop, Latency

if TYPE_CHECKING:
    from pages.ui.desk import Desk
    from pruning_core.zoo import ModelRef

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "prepared"  # written by tools/prepared.py
FIRST = "digits_resnet"  # the demo that the first page tells of
SHOWN_FIRST = 0.4  # share of the MACs that the first page tells of


@dataclass(frozen=True)
class Size:
    """The network with ``share`` of its MACs; ``drop`` is against the whole one, None for itself.

    ``predicted`` and ``confidence`` are of the test images in their order, empty where no answer names a class;
    ``model`` is None where it is not at hand.
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

    @property
    def of_classes(self) -> bool:
        """Whether each answer names a class and is right or wrong."""
        return self.whole.accuracy.measure == TOP1


def prepared(name: str = FIRST) -> Sizes:
    """A demo as it was measured when this copy of the dashboard was made."""
    return _prepared(name, current())


@lru_cache(maxsize=4 * len(LANGUAGES))
def _prepared(name: str, language: str) -> Sizes:
    """``language``: what its texts are in."""
    stored = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    when = _("Measured on {date}, when this was prepared, by {command}; torch {version}.").format(
        date=stored["date"], command=stored["command"], version=stored["torch"]
    )
    sizes = tuple(_stored(each) for each in stored["points"])
    whole = sizes[0]
    return Sizes(
        stored["title"],
        sizes,
        provenance.measured(
            stored["data"], images=stored["images"], device=stored["device"], seed=stored["seed"], note=when
        ),
        timing(whole.latency, when),
        _(
            "channels ranked by {criterion}, the same share of every layer, then {recovery} on {n} images of the "
            "training part"
        ).format(criterion=said(stored["criterion"]), recovery=said(stored["recovery"]), n=stored["recovery_images"]),
        True,
    )


def prepared_of(desk: Desk) -> Sizes | None:
    """What was measured beforehand of the network on the desk, with the data there; None of all but the demos."""
    from pages.ui.desk import DEMOS

    name = next((each.name for each in DEMOS if (each.ref, each.data) == (desk.model, desk.data)), None)
    return prepared(name) if name and (FOLDER / f"{name}.json").is_file() else None


def timing(latency: Latency, note: str = "") -> Provenance:
    return provenance.measured(
        _("random images, batches of {n}, median of {passes} passes").format(n=latency.batch_size, passes=latency.runs),
        device=provenance.processor(latency.device, latency.threads),
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
