"""A file is taken while the page is drawn anew, and its answer is still on the way: the click brings the file."""

import time

from playwright.sync_api import expect

from pages.ui.cookie import USER_COOKIE
from pruning_core.storage import Workspace
from tests.app.pruned_desk import pruned_desk
from tests.browser.conftest import settle

ME = "somebody-who-takes"


class Line:
    """The connection between page and server; what the server says can be held back."""

    def __init__(self, page):
        self.holding, self.held, self.page = False, [], None
        page.route_web_socket("**/stream", self.connect)

    def connect(self, page):
        self.page, server = page, page.connect_to_server()
        page.on_message(server.send)
        server.on_message(self.pass_on)

    def pass_on(self, message):
        if self.holding:
            self.held.append(message)
        else:
            self.page.send(message)

    def release(self):
        self.holding = False
        for message in self.held:
            self.page.send(message)
        self.held = []


def test_a_click_while_the_page_is_drawn_anew_brings_the_file(server, visitor, tmp_path):
    pruned_desk(Workspace(server.data), ME)
    context = visitor()
    context.add_cookies([{"name": USER_COOKIE, "value": ME, "url": server.url}])
    page = context.new_page()
    line = Line(page)
    page.goto(f"{server.url}/download")
    page.locator(".st-key-download-weights-make button").click()
    ready = page.locator(".st-key-download-weights :is(a, button)")
    expect(ready).to_be_visible()
    settle(page)
    line.holding = True
    page.get_by_test_id("stSidebar").get_by_role("radio", name="中文").click()
    seen, quiet = 0, time.monotonic()
    while time.monotonic() - quiet < 4:  # until the server has drawn it to the end
        page.wait_for_timeout(200)
        if len(line.held) != seen:
            seen, quiet = len(line.held), time.monotonic()
    assert seen, "the page was drawn anew"
    with page.expect_download(timeout=20_000) as got:
        ready.click()
        line.release()
    kept = tmp_path / got.value.suggested_filename
    got.value.save_as(kept)
    assert kept.suffix == ".safetensors" and kept.stat().st_size > 10_000
