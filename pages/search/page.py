"""Which widths are best under a budget: a search tries them, on real images, with chance beside it."""

from pages.search import sections
from pages.ui import bench
from pages.ui.language import _

bench.page(
    _("Search"),
    verb=_("search"),
    pointless=_("no width is better"),
    introduction=sections.introduction,
    start=sections.start,
    results=sections.results,
)
