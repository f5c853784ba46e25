"""Clicks on the taxonomy's picture, timeline and table, and a score on the loaded network."""

import re

from playwright.sync_api import Page, expect

from pruning_core.criteria import CRITERIA
from tests.browser.conftest import settle


def rows(page: Page) -> int:
    """Of the table: it is drawn on a canvas, and tells its size to screen readers (the header is a row)."""
    return int(page.get_by_test_id("stDataFrame").first.locator("[role=grid]").get_attribute("aria-rowcount") or 0) - 1


def test_the_picture_narrows_and_the_dots_open(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/taxonomy")
    part = page.locator(".js-plotly-plot .iciclelayer .slice")
    expect(part.first).to_be_visible(timeout=120_000)
    settle(page)
    everything = rows(page)
    assert everything >= len(CRITERIA)

    unlabelled = part.filter(has_text="unlabelled batches").first
    unlabelled.hover(force=True)
    unlabelled.click(force=True)
    expect(page.get_by_text(re.compile("^Shown: "))).to_be_visible()
    settle(page)
    narrowed = rows(page)
    assert 1 < narrowed < everything
    shoot(page, "taxonomy-narrowed")

    title = page.get_by_test_id("stMain").get_by_role("heading", level=3).nth(2)
    before = title.inner_text()
    dots = page.locator(".js-plotly-plot .scatterlayer .point")
    dots.last.hover(force=True)
    dots.last.click(force=True)
    expect(title).not_to_have_text(before)
    shoot(page, "taxonomy-dot")

    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text(re.compile("^Shown: "))).to_be_hidden()
    settle(page)
    assert rows(page) == everything

    page.reload()  # a new session begins with the first card: a criterion, which is tried on the spot
    settle(page)
    page.get_by_role("button", name=re.compile("^Score by ")).click()
    expect(page.get_by_text(re.compile("groups scored in"))).to_be_visible()
    shoot(page, "taxonomy-scored")
