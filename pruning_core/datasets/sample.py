"""A small part of CIFAR-10's test images that lies in the repository: enough to measure a demo without a network.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. ``tools/cifar_sample.py`` draws it; the
provenance stands beside the file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pruning_core.datasets import zips
from pruning_core.datasets.findings.parts import MeasureOnly
from pruning_core.datasets.raw import Progress, Raw, quiet
from pruning_core.datasets.ref import DataRef
from pruning_core.storage.uploads import Root

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PATH = ASSETS / "cifar10_sample.zip"
CIFAR_SAMPLE = DataRef("sample", "CIFAR-10 sample", held_out=0.5)
WAY_OUT = (
    "To train, choose CIFAR10 under Classic sets on the Load page (about 170 MB, downloaded once), or upload training "
    "images there."
)


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """1,000 images to choose by as the training part, 1,000 others to report on; none of them was trained on."""
    return _decoded()


@lru_cache(maxsize=1)
def _decoded() -> Raw:
    raw = zips.read_file(PATH, CIFAR_SAMPLE.name, None, quiet)
    choosing, reporting = len(raw.labels), 0 if raw.test_labels is None else len(raw.test_labels)
    return raw.also((MeasureOnly("CIFAR-10", choosing, reporting, WAY_OUT),))
