"""Which layers tolerate pruning: every group alone, at every ratio, on real images."""

from pages.sensitivity import sections
from pages.ui import bench

bench.page(
    "Sensitivity",
    verb="sweep",
    pointless="no drop means anything",
    introduction=sections.introduction,
    start=sections.start,
    results=sections.results,
)
