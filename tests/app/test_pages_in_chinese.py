"""No English is left on any page for a visitor who reads Chinese, where every page has a result to show."""

import re

from streamlit.testing.v1 import AppTest

from pages.criteria import compare
from pages.taxonomy.registry import cards
from pages.ui import state
from pages.ui.catalogue import translations
from pages.ui.desk import Desk, first_desk, remember
from pruning_core.graph import Plan
from pruning_core.studies.compare import CompareRun
from tests.app.desk_with_results import with_results
from tests.app.on_screen import texts
from tests.app.page_under_test import ROOT

PAGES = re.findall(r'st\.Page\("(pages/\w+/page\.py)"', (ROOT / "app.py").read_text(encoding="utf-8"))
OF_A_CUT = ("model", "whatif", "finetune", "download", "compare")  # pages that say more of a network that was cut
SENTENCE = re.compile(r"(?:\b[A-Za-z][a-z]+[ ,]+){2,}[A-Za-z][a-z]+\b")
GLUED = re.compile("[\u4e00-\u9fff][a-z]{4,}|[a-z]{4,}[\u4e00-\u9fff]")  # the catalogue puts a space between
# Code, formulas, icons and colours of Markdown, places in hover texts, tags, addresses, commands.
ASIDE = re.compile(
    r"`[^`]*`|\$[^$]*\$|:material/\w+:|:[\w-]+\[|%\{[^}]*\}|</?\w[^>]*>|https?://[^\s)]+|python -m [\w.]+|et al"
)
KINDS = {"Linear"}  # of layers, which are called alike in every language
SURVEY = "Pruning and Quantization for Deep Neural Network Acceleration: A Survey"
PAPERS = [paper for paper in (card.paper for card in cards()) if paper]
TITLES = [*(paper.title for paper in PAPERS), *(paper.authors for paper in PAPERS), SURVEY]
ME = "reader"
PLAN = 0.25  # of every group


def english(text: str) -> list[str]:
    """Its lines with three English words in a row, and those that are a text of ours which has a translation."""
    for title in TITLES:
        text = text.replace(title, "")
    known = translations("zh_CN").known
    found = []
    for line in text.splitlines():
        words = ASIDE.sub(" ", line).strip(" *_#[]()")
        if SENTENCE.search(words) or GLUED.search(words) or (words not in KINDS and known.get(words, words) != words):
            found.append(line)
    return found


def test_what_counts_as_english():
    assert (
        english("准则\nHalf of the channels")
        and english(":green-badge[:material/check: done]")
        and english("开始sweep")
    )
    assert not english("层 `layer1.0.conv1`\nResNet on digits\n准确率 95.0 %")


def left(desk: Desk, pages: list[str], monkeypatch) -> dict[str, list[str]]:
    """page -> what is English on it."""
    remember(state.workspace(), ME, desk)
    compared = state.jobs().listed(ME, CompareRun.kind)[0][0]
    found, titles = {}, set()
    for page in pages:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        app.session_state["language"] = "zh"
        app.session_state[compare.JOB] = compared.id
        app.run().switch_page(page).run()
        assert not app.exception, (page, [each.stack_trace for each in app.exception])
        titles.add(app.title[0].value)
        found[page] = list(dict.fromkeys(each for text in texts(app) for each in english(text)))
    assert len(titles) == len(pages), "each of them was really there"
    return {page: lines for page, lines in found.items() if lines}


def test_no_english_is_left_on_any_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)
    assert len(PAGES) >= 20
    first = first_desk()
    groups = state.network(first.model).groups
    plan = Plan({group.key: range(int(PLAN * group.size)) for group in groups})
    small = with_results(state.jobs(), ME, plan)
    assert not left(first.with_plan(plan), PAGES, monkeypatch)
    of_a_cut = [page for page in PAGES if page.split("/")[1] in OF_A_CUT]
    assert not left(first.with_model(small, first.data), of_a_cut, monkeypatch)
