"""What the pages say, in the visitor's language. The sources are English; the rest is in ``assets/locale``.

    _("Load a network")                                    what is written here
    _("{n} images were read").format(n=n)                  with places, which a translation may move
    ngettext("{n} image", "{n} images", n).format(n=n)     where the number changes the words
    TITLES = {"time": N_("When")}  ...  _(TITLES[axis])    written where nobody is there yet to read it
    said(str(error))                                       what the core has said, places filled in

The core speaks English alone: it is a library. Its sentences are known by their form. Texts are written of images; a
page whose visitor works on other data says so (`call_examples`), and the noun is theirs (`pages/ui/nouns.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.catalogue import Translations, translations
from pages.ui.nouns import IMAGE, spoken

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
LOCALES: Mapping[str, str] = {"en": "", "zh": "zh_CN"}
KEY, ASKED = "language", "lang"  # in the session; in a link
CALLED = "language.called"  # in the session: what an example is called


def current() -> str:
    """The visitor's choice, else the link's, else the browser's; English where there is no visitor."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return "en"
    return st.session_state.get(KEY) or _first()


def switch() -> None:
    """Drawn on every page, in the languages' own words."""
    st.segmented_control(
        "Language / 语言", list(LANGUAGES), format_func=LANGUAGES.__getitem__, default=_first(), required=True, key=KEY,
        label_visibility="collapsed", persist_state="session", wrap=True,
    )  # fmt: skip


def call_examples(called: str) -> None:
    """From here on, on this page, the examples are ``called`` so: a key of `nouns.NOUNS`, or images."""
    st.session_state[CALLED] = called


@contextmanager
def about(called: str) -> Iterator[None]:
    """Texts inside are about examples that are ``called`` so."""
    before = st.session_state.get(CALLED, IMAGE)
    call_examples(called)
    try:
        yield
    finally:
        call_examples(before)


def _(text: str) -> str:
    return _spoken(_translations().texts.gettext(text)) if text else text


def ngettext(one: str, many: str, n: int) -> str:
    return _spoken(_translations().texts.ngettext(one, many, n))


def N_(text: str) -> str:
    """Marks a text to be translated later, by `_`."""
    return text


def said(text: str) -> str:
    """A text that the core has made: of a card, a refusal, a finding."""
    return _spoken(_translations().filled(text))


def together(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = parts
    return _("{first} and {last}").format(first=_(", ").join(first), last=last) if first else last


def _spoken(text: str) -> str:
    if get_script_run_ctx(suppress_warning=True) is None:
        return text
    return spoken(text, st.session_state.get(CALLED, IMAGE))


def _translations() -> Translations:
    return translations(LOCALES[current()])


def _first() -> str:
    asked = st.query_params.get(ASKED, "")
    if asked in LANGUAGES:
        return asked
    return "zh" if (st.context.locale or "").lower().startswith("zh") else "en"
