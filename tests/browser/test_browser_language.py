"""Pages that are Chinese: no English sentence is left on them, and their characters come from here."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Server, settle

PAGES = ("", "lessons", "taxonomy", "myths", "granularity", "coupling", "model", "similarity", "show")
SENTENCE = re.compile(r"(?:\b[A-Za-z][a-z]+[ ,]+){3,}[A-Za-z][a-z]+")
# Titles of papers, with their authors; what people and libraries are called; commands.
NAMES = re.compile(r"^.+: .+, .+ \d{4}\.$|python -m [\w.]+")


def english(text: str) -> list[str]:
    """Lines in which four English words follow each other."""
    return [line for line in text.splitlines() if SENTENCE.search(NAMES.sub("", line))]


def test_what_counts_as_english():
    assert english("准则\nHalf of the channels go") and english("Measured right after the cut.")
    assert not english(
        "层 layer1.0.conv1\nResNet on digits\nLi, Kadav: Pruning Filters for Efficient ConvNets, ICLR 2017."
    )


@pytest.mark.parametrize("name", PAGES)
def test_no_english_sentence_is_left(server: Server, visitor: Callable[..., BrowserContext], name: str):
    page = visitor().new_page()
    page.goto(f"{server.url}/{name}?lang=zh")
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    settle(page)
    assert re.search("[\u4e00-\u9fff]", page.get_by_test_id("stMain").inner_text())
    assert not english(page.get_by_test_id("stMain").inner_text())


def test_the_switch_turns_the_page_and_back(server: Server, visitor: Callable[..., BrowserContext]):
    page = visitor().new_page()
    fonts: list[str] = []
    page.on("response", lambda answer: fonts.append(answer.url) if "noto" in answer.url and answer.ok else None)
    page.goto(f"{server.url}/myths")
    page.get_by_role("radio", name="中文").or_(page.get_by_text("中文", exact=True)).first.click()
    expect(page.get_by_role("heading", name="误区")).to_be_visible()
    page.get_by_text("English", exact=True).first.click()
    expect(page.get_by_role("heading", name="Myths")).to_be_visible()
    assert fonts
