"""Clicks on the taxonomy's picture and years, and a criterion tried on the loaded network."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import figure, settle


def click(page: Page, x: float, y: float) -> None:
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    page.mouse.click(x, y)


def test_the_picture_opens_cards_and_words_and_a_criterion_is_tried(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/taxonomy")
    bars = page.locator(".js-plotly-plot .barlayer .point")
    expect(bars.first).to_be_visible(timeout=120_000)
    settle(page)
    title = page.get_by_test_id("stMain").get_by_role("heading", level=3).first
    before = title.inner_text()
    box = bars.nth(3).bounding_box()
    click(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(title).not_to_have_text(before)
    shoot(page, "taxonomy-card")

    settle(page)
    box = bars.first.bounding_box()  # the first value of the outer axis
    click(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_text("The weights alone.")).to_be_visible()
    expect(page.get_by_test_id("stMain").get_by_test_id("stImage").first).to_be_visible()
    shoot(page, "taxonomy-word")

    page.get_by_test_id("stMain").get_by_role("button", name="L1 norm").first.click()
    page.get_by_role("tab", name="Try it here").click()
    expect(figure(page, "Accuracy")).to_have_text(re.compile(r"\d%|\d.%"))
    shoot(page, "taxonomy-tried")

    page.get_by_text("Years and lineage", exact=True).click()
    settle(page)
    dots = page.locator(".js-plotly-plot .scatterlayer .point")
    dots.last.hover(force=True)
    dots.last.click(force=True)
    expect(title).not_to_have_text("L1 norm")
    shoot(page, "taxonomy-dot")
