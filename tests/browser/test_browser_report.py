"""The report of a real cut, opened from disk by a browser that must not ask anybody for anything."""

from playwright.sync_api import expect

from pages.download import report
from pages.ui import provenance, sizes, state
from pages.ui.desk import first_desk
from pages.ui.sizes import Sizes
from pruning_core.graph import Plan
from pruning_core.zoo import ModelRef
from pruning_core.zoo.interface import Input

WORST = "<img src=//evil/x>$x$<b>"


def made() -> bytes:
    """From the prepared sizes of the demo, under a hostile name."""
    desk, found = first_desk(), sizes.prepared()
    test = state.splits(desk.data)[1]
    chosen = (found.whole, found.sizes[-1])
    ref = ModelRef("pruned", desk.model.name, base=desk.model, plan=chosen[1].plan)
    both = Sizes(WORST, chosen, found.measured, provenance.measured(WORST), WORST)
    networks = (state.network(desk.model), state.network(ref))
    assert Plan.from_json(ref.plan)
    return report.built(ref, both, test, networks, [WORST], [Input("images", (1, 8, 8))]).data


def test_the_report_opens_offline_and_prints(visitor, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "data"))
    path = tmp_path / "report.html"
    path.write_bytes(made())
    context = visitor()
    context.set_offline(True)
    asked, broken = [], []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda message: message.type == "error" and broken.append(message.text))
    # As text, not by its address: a file's own request would be one.
    page.set_content(path.read_text(encoding="utf-8"), wait_until="load")
    expect(page.locator(".plot .main-svg").first).to_be_visible()
    assert page.locator(".plot").count() == 3 == page.locator(".plot.js-plotly-plot").count()
    assert not [url for url in asked if not url.startswith(("data:", "blob:", "about:"))] and not broken
    expect(page.locator("h1")).to_have_text(f"{WORST}, made smaller")
    assert page.locator("img").count() == page.locator(".picture").count() == 16
    assert page.locator('img:not([src^="data:image/png"])').count() == 0
    page.locator(".plot .main-svg").first.hover()
    page.emulate_media(media="print")
    assert page.locator(".summary").evaluate("each => getComputedStyle(each).breakAfter") == "page"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
