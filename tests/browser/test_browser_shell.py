"""The frame around the pages, in a real browser on a real server."""

import re
import time

from playwright.sync_api import expect

from pages.ui.cookie import USER_COOKIE
from tests.browser.conftest import crowd, figure, settle

FIRST_FIGURE_S = 10.0
NOTE_TITLES = """
    window.titles = []
    new MutationObserver(() => document.querySelectorAll("h1").forEach(each => titles.push(each.innerText)))
        .observe(document, {childList: true, subtree: true})
"""


def test_a_cold_server_shows_the_demos_figures_within_ten_seconds(own_server, visitor, record_property):
    page = visitor().new_page()
    own_server.start()
    opened = time.monotonic()
    page.goto(own_server.url)
    expect(figure(page, "Accuracy after the cut")).to_contain_text(re.compile(r"\d\d\.\d"))
    first = time.monotonic() - opened
    expect(page.get_by_role("heading", name="Where you are")).to_be_visible()
    record_property("first figure, s", round(first, 2))
    record_property("all figures, s", round(time.monotonic() - opened, 2))
    print(f"first figure {first:.1f} s, all {time.monotonic() - opened:.1f} s")
    assert first < FIRST_FIGURE_S * crowd(), f"{crowd():.1f} runnable threads per core"


def test_a_deep_link_to_a_cold_server_finds_its_page(own_server, page):
    """Without `server.lifespan` Streamlit would answer "Page not found", because there is a folder named `pages`."""
    page.add_init_script(NOTE_TITLES)
    own_server.start()
    page.goto(f"{own_server.url}/sensitivity")
    expect(page.get_by_text("Starting up")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sensitivity")
    expect(page.get_by_text("Starting up")).to_have_count(0)
    settle(page)
    assert set(page.evaluate("titles")) == {"Sensitivity"}, "what it showed while it started was this page"
    expect(page).to_have_title("Sensitivity · PruneScope")
    assert page.get_by_role("dialog").count() == 0


def test_an_address_that_does_not_exist_says_so_inside_the_frame(server, page):
    page.goto(f"{server.url}/nowhere")
    expect(page.get_by_role("dialog")).to_contain_text("not found")
    expect(page.get_by_test_id("stSidebar").get_by_text("Model", exact=True).first).to_be_visible()


def test_a_reload_finds_the_same_visitor_and_another_browser_does_not(server, visitor):
    first, second = visitor(), visitor()
    names = []
    for context in (first, first, second):
        page = context.new_page()
        page.goto(server.url)
        settle(page)
        names.append(next(cookie for cookie in context.cookies() if cookie["name"] == USER_COOKIE))
    assert names[0]["value"] == names[1]["value"] != names[2]["value"]
    assert names[0]["httpOnly"] and names[0]["sameSite"] == "Lax" and len(names[0]["value"]) >= 32


def test_the_page_follows_the_browsers_choice_of_light_or_dark(server, visitor):
    seen = {}
    for scheme in ("light", "dark"):
        page = visitor(color_scheme=scheme).new_page()
        page.goto(server.url)
        settle(page)
        seen[scheme] = page.get_by_test_id("stApp").evaluate("each => getComputedStyle(each).backgroundColor")
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 26)"}


def test_the_server_stops_at_once(own_server, page):
    own_server.start()
    page.goto(own_server.url)
    settle(page)
    assert own_server.stop() < 10


def test_the_screen_of_a_tablet_and_of_a_phone_is_not_cut_off(server, visitor, shoot):
    for name, width in (("tablet", 820), ("phone", 390)):
        for path, label in (("", "Size"), ("model", "MACs"), ("show", "Accuracy")):
            page = visitor(width=width, height=900).new_page()
            page.goto(f"{server.url}/{path}")
            expect(figure(page, label)).to_be_visible()
            settle(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, shoot(page, f"{name}-{path}")
