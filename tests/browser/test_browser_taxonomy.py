"""Clicks on the taxonomy's picture and years, and a criterion tried on the loaded network."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import figure, settle


def test_the_picture_opens_cards_and_words_and_a_criterion_is_tried(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/taxonomy")
    main = page.get_by_test_id("stMain")
    title = main.get_by_role("heading", level=3).first
    expect(title).to_have_text("L1 norm", timeout=120_000)
    settle(page)
    last = main.get_by_role("radio", name="control 2").or_(main.get_by_text("control 2", exact=True)).first
    box = last.bounding_box()
    assert box["y"] + box["height"] <= 900, "all groups are on one screen"
    main.get_by_text("importance: activations 9", exact=True).click()
    expect(page.get_by_text("What channels answer to images decides")).to_be_visible()
    main.get_by_role("button", name="APoZ", exact=True).click()
    expect(title).to_contain_text("APoZ")
    shoot(page, "taxonomy-card")

    settle(page)
    main.get_by_role("button", name="none 17").focus()  # the first value of the outer axis, by the keyboard
    page.keyboard.press("Enter")
    expect(page.get_by_text("The weights alone.")).to_be_visible()
    expect(main.get_by_test_id("stImage").first).to_be_visible()
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
