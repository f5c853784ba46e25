"""A link that is opened in a fresh browser finds the same network, data, plan and page."""

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import figure, settle


def planned(page: Page) -> str:
    return page.get_by_test_id("stSidebar").get_by_text(re.compile(r"of 6 groups planned")).inner_text()


def test_a_link_opens_in_a_fresh_browser_with_the_same_plan(server, visitor, tmp_path):
    page = visitor().new_page()
    page.goto(f"{server.url}/whatif")
    expect(page.get_by_role("heading", level=1)).to_contain_text("What-if")
    slider = page.get_by_role("slider", name=re.compile("conv2.*kept")).last
    slider.focus()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    expect(page.get_by_test_id("stSidebar").get_by_text("of 6 groups planned")).to_be_visible()
    settle(page)
    macs = figure(page, "MACs").inner_text()
    page.get_by_role("button", name="Link and file").click()
    address = page.get_by_test_id("stCode").get_by_text("desk=").inner_text()
    assert address.startswith(f"{server.url}/whatif?desk=")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Plan as JSON").click()
    file = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(file)
    content = json.loads(file.read_text())
    assert content["format"] == "prunescope.plan" and len(content["plan"]) == 1

    other = visitor().new_page()
    other.goto(address)
    expect(other.get_by_role("heading", level=1)).to_contain_text("What-if")
    settle(other)
    assert planned(other) == planned(page)
    assert figure(other, "MACs").inner_text() == macs
    assert "desk=" not in other.url

    third = visitor().new_page()
    third.goto(f"{server.url}/model?desk=forged")
    expect(third.get_by_text("This link is damaged")).to_be_visible()
    settle(third)
    third.get_by_role("button", name="Link and file").click()
    third.get_by_test_id("stFileUploader").locator("input").set_input_files(file)
    expect(third.get_by_test_id("stSidebar").get_by_text("of 6 groups planned")).to_be_visible()
