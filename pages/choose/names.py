"""The code page of names in a zip that do not say theirs: guessed, and asked about."""

from __future__ import annotations

import streamlit as st

from pages.ui import state
from pages.ui.language import N_, _
from pruning_core.datasets import DataRef, Dataset
from pruning_core.datasets.findings.archive import CodePage
from pruning_core.datasets.zips import code_pages

SPOKEN = {
    "utf-8": N_("Unicode (UTF-8)"),
    "gb18030": N_("simplified Chinese (GBK, GB 18030)"),
    "big5": N_("traditional Chinese (Big5)"),
    "cp932": N_("Japanese (Shift-JIS)"),
    "cp949": N_("Korean (code page 949)"),
    "cp1251": N_("Cyrillic, Windows (1251)"),
    "cp866": N_("Cyrillic, DOS (866)"),
    "cp1252": N_("Western, Windows (1252)"),
    "cp850": N_("Western, DOS (850)"),
    "cp437": N_("American, DOS (437): what the zip format says"),
    "cp1250": N_("Central European, Windows (1250)"),
    "cp852": N_("Central European, DOS (852)"),
}


def ask(ref: DataRef, data: Dataset) -> str | None:
    """The chosen one; None as long as the guess is good enough, and where there is nothing to ask."""
    found = next((each for each in data.findings if isinstance(each, CodePage)), None)
    if found is None:
        return ref.code_page
    options = code_pages(ref, state.workspace())
    if found.code_page not in options:
        options.insert(0, found.code_page)
    chosen = st.selectbox(
        _("The names in this zip are written in"),
        options,
        options.index(found.code_page),
        format_func=lambda page: _(SPOKEN[page]) if page in SPOKEN else page,
        key=f"choose.details.{ref.key[:12]}.code_page",
        help=_("The zip does not say it. The likeliest is first; the class names below follow once you apply."),
    )
    return ref.code_page if chosen == found.code_page else chosen
