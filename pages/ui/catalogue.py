"""The translations: gettext catalogues in ``assets/locale``, one file for each folder of texts.

``.po`` files are what translators edit; they are compiled in memory, so that no second, compiled copy can be stale.
``python -m tools.messages`` brings them up to date with the sources.
"""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parents[2] / "assets" / "locale"
PLACE = re.compile(r"\{(\d+)\}")
SURE = 5  # letters that a form must have outside of its places, or nearly any text would be of that form


@dataclass(frozen=True)
class Form:
    """A sentence of the core with numbered places, and how it reads in another language."""

    pattern: re.Pattern[str]
    translation: str
    letters: int


@dataclass(frozen=True)
class Translations:
    """``texts``: as gettext knows them. ``forms``: sentences that the core has already filled in."""

    texts: gettext.NullTranslations
    known: Mapping[str, str]
    forms: tuple[Form, ...]

    def filled(self, text: str) -> str:
        """``text``, which may be a sentence of the core with its places filled in; itself when its form is unknown."""
        if exact := self.known.get(text) or self._with_its_point(text):
            return exact
        for form in self.forms:
            if found := form.pattern.fullmatch(text):
                return form.translation.format(*map(self.filled, found.groups()))
        return text

    def _with_its_point(self, text: str) -> str:
        """A phrase that was made a sentence of its own."""
        known = self.known.get(text.removesuffix(".")) if text.endswith(".") else ""
        return f"{known}。" if known else ""


@lru_cache(maxsize=8)
def translations(locale: str) -> Translations:
    """Those of a locale such as "zh_CN"; English, "", has none."""
    together = Catalog(locale=locale or None)
    for path in sorted((LOCALES / locale).glob("*.po")) if locale else []:
        with path.open("rb") as file:
            for message in read_po(file, locale=locale, ignore_obsolete=True):
                if message.id and any(message.string or "") and not message.fuzzy:  # another file may have it
                    together[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, together)
    compiled.seek(0)
    known = {each.id: str(each.string) for each in together if isinstance(each.id, str) and each.id and each.string}
    forms = [form_of(text, translation) for text, translation in known.items() if PLACE.search(text)]
    sure = sorted((form for form in forms if form.letters >= SURE), key=lambda form: -form.letters)
    return Translations(gettext.GNUTranslations(compiled), known, tuple(sure))


def form_of(text: str, translation: str) -> Form:
    """What finds a filled-in ``text`` with places {0}, {1} ... again. Each place is there once, in order."""
    parts = PLACE.split(text)[::2]
    # A network may be called after its data: of "Sensitivity of ResNet on digits on digits" the last "on" counts.
    places = ("(.*)" if part == " on " else "(.*?)" for part in parts[1:])
    pattern = re.compile(
        re.escape(parts[0]) + "".join(place + re.escape(part) for place, part in zip(places, parts[1:])), re.DOTALL
    )
    return Form(pattern, translation, sum(letter.isalpha() for part in parts for letter in part))
