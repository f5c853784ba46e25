"""A download or a long reading, seen in the page that waits for it."""

from __future__ import annotations

import time
from types import TracebackType

import streamlit as st

from pages.ui.language import _, said
from pages.ui.numbers import size_bytes

EVERY_S = 0.2  # more often nobody can read, and each costs a message to the browser


class Bar:
    """A progress callback of the core: `with Bar("…") as bar: load(…, bar)`. It is gone afterwards."""

    def __init__(self, text: str) -> None:
        self._place = st.empty()
        self._text = text
        self._shown = 0.0

    def __enter__(self) -> Bar:
        self._place.progress(0.0, self._text)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._place.empty()

    def __call__(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._shown < EVERY_S and done < total:
            return
        self._shown = time.monotonic()
        many = size_bytes if what.startswith("downloading") else "{:,}".format
        share = _("{part} of {whole}").format(part=many(done), whole=many(total))
        self._place.progress(min(1.0, done / max(total, 1)), _("{what}: {share}").format(what=said(what), share=share))
