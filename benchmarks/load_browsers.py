"""Visitors of `benchmarks.load` that are real browsers: each a context of Chromium with cookies of its own.

They live on the machine of the server, and what they take of it is taken from the server: the figures are those of
server and browsers together.
"""

from __future__ import annotations

import asyncio
import random
import time

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.visits import BETWEEN_S, OWN, Seen
from tests.browser import chromium

PATIENCE_MS = 180_000
UNANSWERED_MS = 60_000
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
MACS = """() => [...document.querySelectorAll('[data-testid="stMetric"]')]
    .find(each => each.innerText.startsWith("MACs"))?.innerText"""


def crowd(address: str, visitors: int, until: float, seen: Seen) -> None:
    """All of them, until ``time.monotonic()`` is ``until``."""
    asyncio.run(_crowd(chromium.find(), address, visitors, until, seen))


async def _crowd(path: str | None, address: str, visitors: int, until: float, seen: Seen) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        await asyncio.gather(*(_visit(browser, address, number, until, seen) for number in range(visitors)))
        await browser.close()


async def _visit(browser: Browser, address: str, number: int, until: float, seen: Seen) -> None:
    dice = random.Random(number)
    context = await browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    try:
        await _sweep(page, address, OWN[number % len(OWN)])
        await page.goto(f"{address}/whatif")
        every = page.get_by_role("slider", name="exact groups")
        await every.wait_for()
        await page.wait_for_selector(IDLE)
        while time.monotonic() < until:
            await asyncio.sleep(dice.uniform(0, 2 * BETWEEN_S))
            at = float(await every.input_value())
            up = at < 10 or (at < 80 and dice.random() < 0.5)
            before = await page.evaluate(MACS)
            await every.focus()
            began = time.perf_counter()
            await every.press("PageUp" if up else "PageDown")
            await page.wait_for_function(f"before => ({MACS})() !== before", arg=before, timeout=UNANSWERED_MS)
            seen.clicks_s.append(time.perf_counter() - began)
            await page.wait_for_selector(IDLE)
            seen.errors.extend(await page.get_by_test_id("stException").all_inner_texts())
    except Exception as error:  # counted, not hidden
        seen.errors.append(f"{type(error).__name__}: {error}"[:300])
    finally:
        await context.close()


async def _sweep(page: Page, address: str, ratios: list[str]) -> None:
    await page.goto(f"{address}/sensitivity")
    await page.get_by_role("button", name="Start the sweep").wait_for()
    await page.wait_for_selector(IDLE)
    choices = page.get_by_role("group", name="Ratios").get_by_role("button")
    for choice in await choices.all():
        chosen = await choice.get_attribute("aria-pressed") == "true"
        if chosen != ((await choice.inner_text()).strip() in ratios):
            await choice.click()
            await page.wait_for_selector(IDLE)
    await page.get_by_role("button", name="Start the sweep").click()
    await page.get_by_role("button", name="Cancel").or_(page.get_by_text("cells measured")).first.wait_for()
