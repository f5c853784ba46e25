"""The Criteria and Similarity pages in a real browser: real numbers, and the clicks that need one."""

import re

from playwright.sync_api import expect

from pages.ui import state
from tests.browser.conftest import figure, settle


def test_criteria_are_compared_and_filters_clustered(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/criteria")
    expect(page.get_by_role("button", name=re.compile("Compare \\d criteria"))).to_be_visible()
    budgets = page.get_by_role("combobox", name=re.compile("Budgets"))
    for _ in range(3):  # one budget is enough here
        budgets.focus()
        page.keyboard.press("Backspace")
        settle(page)
    page.get_by_role("button", name=re.compile("Compare \\d criteria")).click()
    expect(page.get_by_text(re.compile("Table at a budget of"))).to_be_visible(timeout=180_000)
    status = page.get_by_test_id("stMain").get_by_text("done", exact=False).first
    expect(status).to_be_visible(timeout=180_000)
    expect(page.get_by_text(re.compile("held-out images, 269 images, CPU, seed 0")).first).to_be_visible()
    shoot(page, "criteria-accuracy")

    page.get_by_role("tab", name="Agreement").click()
    expect(page.get_by_text(re.compile("rank correlation (−|-)?\\d\\.\\d\\d"))).to_be_visible(timeout=120_000)
    before = page.get_by_text(re.compile("rank correlation (−|-)?\\d")).first.inner_text()
    settle(page)
    cells = page.locator(".js-plotly-plot").first.locator(".barlayer .point")
    cells.nth(2).hover(force=True)
    page.wait_for_timeout(400)
    cells.nth(2).click(force=True)
    changed = page.get_by_text(re.compile("rank correlation (−|-)?\\d")).first
    expect(changed).not_to_have_text(before)
    shoot(page, "criteria-agreement")

    page.get_by_role("tab", name="Scores of a layer").click()
    expect(page.get_by_role("button", name="Choose points in the plot")).to_be_visible()
    point = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").nth(3)
    expect(point).to_be_visible()
    settle(page)
    point.hover(force=True)
    page.wait_for_timeout(400)
    point.click(force=True)
    page.get_by_role("button", name="Add the 1 chosen to the plan").click()
    expect(page.get_by_text(re.compile("The plan removes 1 of"))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Take .* out of the plan")).click()
    expect(page.get_by_text(re.compile("The plan removes 1 of"))).to_be_hidden()
    shoot(page, "criteria-scores")

    page.goto(f"{server.url}/similarity")
    channels = state.network(state.desk().model).groups[0].size
    expect(figure(page, "Channels")).to_contain_text(str(channels), timeout=120_000)
    clusters = figure(page, "Clusters")
    first = int(re.search(r"\d+", clusters.inner_text().replace("Clusters", "")).group())
    assert 1 < first < channels
    slider = page.get_by_role("slider", name="Cut the tree at")
    slider.focus()
    page.keyboard.press("End")
    expect(clusters).to_have_text(re.compile(r"Clusters\s*1$"))
    expect(figure(page, "Ratio of this layer")).to_contain_text(f"{100 * (1 - 1 / channels):.1f}")
    shoot(page, "similarity")
