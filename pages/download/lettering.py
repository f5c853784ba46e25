"""The words of a report in the reader's language, and letters for them: where it is opened there may be none."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

from pages.ui.language import LOCALES, _, current
from pages.ui.provenance import Mark
from pruning_core.export.report import MARKS, Words

FONTS = Path(__file__).resolve().parents[2] / "static"
FAMILY = "Noto Sans SC"
BROUGHT = {"zh": {weight: f"noto-sans-sc-{weight}.woff2" for weight in (400, 700)}}  # language -> weight -> file


def words() -> Words:
    language = current()
    return Words(
        language=LOCALES[language].replace("_", "-") or language,
        changed=_("What changed"),
        made=_("How it was made"),
        loading=_("How to load it"),
        sources=_("Where the numbers come from"),
        columns=(_("Number"), _("Value"), _("Kind"), _("From")),
        marks={mark: _(Mark(mark)) for mark in MARKS},
        family=FAMILY,
        fonts=_faces(language),
    )


@lru_cache(maxsize=len(LOCALES))
def _faces(language: str) -> str:
    """Rules of CSS that hold the font itself; none for languages whose letters every machine has."""
    rules = []
    for weight, name in BROUGHT.get(language, {}).items():
        data = base64.b64encode((FONTS / name).read_bytes()).decode()
        source = f"url(data:font/woff2;base64,{data}) format('woff2')"
        rules.append(f'@font-face{{font-family:"{FAMILY}";font-weight:{weight};src:{source}}}')
    return "".join(rules)
