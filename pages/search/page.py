"""Which widths are best under a budget: a search tries them, on real images, with chance beside it."""

from pages.search import sections
from pages.ui import bench

bench.page(
    "Search",
    verb="search",
    pointless="no width is better",
    introduction=sections.introduction,
    start=sections.start,
    results=sections.results,
)
