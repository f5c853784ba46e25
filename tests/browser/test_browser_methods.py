"""The Methods page in a real browser: four outcomes, from choice to download, and a queue that is stopped."""

import re

import pytest
import torch
from playwright.sync_api import expect

from tests.browser.conftest import figure, settle

RUNS = {
    "Network Slimming": "Parameters",
    "Magnitude pruning": "Weights not zero",
    "Grouped kernel pruning": "MACs",
    "Feature boosting and suppression": "MACs of an image",
}


def begun(page, epochs):
    settle(page)  # choosing a method draws the page once more, and a field that is drawn anew forgets what is typed
    field = page.get_by_role("spinbutton", name="Epochs in all")
    expect(field).to_have_count(1)
    field.fill(str(epochs))
    field.press("Enter")
    settle(page)


@pytest.mark.parametrize("method", RUNS)
def test_a_method_from_choice_to_download(method, server, visitor, shoot, tmp_path):
    page = visitor().new_page()
    page.goto(f"{server.url}/methods")
    box = page.get_by_role("combobox", name=re.compile("^(Selected .*)?Method"))
    box.click()
    box.fill(method)
    page.keyboard.press("Enter")
    begun(page, 2)
    page.get_by_role("button", name=f"Run {method}").click()
    expect(page.get_by_role("button", name="Keep this network")).to_be_visible(timeout=180_000)
    expect(figure(page, RUNS[method])).to_be_visible()
    settle(page)
    shoot(page, f"methods-{method.lower().replace(' ', '-')}")
    page.get_by_role("button", name="Keep this network").click()
    page.get_by_test_id("stMain").get_by_role("link", name="Take it home").click()
    page.locator(".st-key-download-pt2-make button").click()
    ready = page.locator(".st-key-download-pt2 a")
    expect(ready).to_be_visible(timeout=120_000)
    with page.expect_download() as got:
        ready.click()
    kept = tmp_path / "network.pt2"
    got.value.save_as(kept)
    scores = torch.export.load(kept).module()(torch.zeros(3, 1, 8, 8))
    assert scores.shape == (3, 10) and bool(scores.isfinite().all())


def test_several_stand_in_a_queue_that_is_stopped_and_goes_on(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/methods")
    begun(page, 40)
    page.get_by_text("Run several beside each other").click()
    chosen = page.get_by_role("combobox", name=re.compile("Methods"))
    chosen.focus()
    settle(page)
    page.get_by_role("button", name="Clear all").click()
    settle(page)
    for name in ("Cut, then train", "Magnitude pruning"):
        chosen.fill(name)
        page.keyboard.press("Enter")
        settle(page)
    page.keyboard.press("Escape")
    page.get_by_text(re.compile("Cuts by chance beside them")).click()
    settle(page)
    page.get_by_role("button", name="Put them in the queue").click()
    expect(page.get_by_role("heading", name="Beside each other")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("button", name="Cancel").first.click()
    resume = page.get_by_test_id("stMain").get_by_role("button", name="Resume").first
    expect(resume).to_be_visible()
    shoot(page, "methods-queue")
    resume.click()
    expect(page.get_by_role("button", name="Keep this network")).to_be_visible(timeout=240_000)
    shoot(page, "methods-beside")
