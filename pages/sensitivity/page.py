"""Which layers tolerate pruning: every group alone, at every ratio, on real images."""

from pages.sensitivity import sections
from pages.ui import bench
from pages.ui.language import _

bench.page(
    _("Sensitivity"),
    verb=_("sweep"),
    pointless=_("no drop means anything"),
    introduction=sections.introduction,
    start=sections.start,
    results=sections.results,
)
