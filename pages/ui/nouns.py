"""What an example of the data is called in a text.

The pages' texts are written of images. Where the data on the desk are rows of a table, recordings, sequences or
volumes, the noun of a text is theirs, in every language: so a text is written, and translated, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

IMAGE = "image"
# Neither a place of a format, nor a part of a name, of a file's name or of what is quoted.
ENGLISH = re.compile(r"(?<![\w{'\"“./-])(?:(?P<article>[Aa]n) )?(?P<noun>[Ii]mages?)(?![\w'\"”-]|\.\w)")
COUNTED = re.compile(r"(?P<before>[\d}每一几多两逐单四各首此](?:\*\*)? ?)张(?P<noun>图像)?(?!量)")
CHINESE = "图像"


@dataclass(frozen=True)
class Noun:
    """In English, ``one`` and ``many``; in Chinese, with the word that it is counted by."""

    one: str
    many: str
    chinese: str
    counter: str


NOUNS: Mapping[str, Noun] = {
    "row": Noun("row", "rows", "行", ""),
    "recording": Noun("recording", "recordings", "录音", "段"),
    "sequence": Noun("sequence", "sequences", "序列", "条"),
    "volume": Noun("volume", "volumes", "三维数据", "份"),
    "example": Noun("example", "examples", "样本", "个"),
}


@lru_cache(maxsize=4096)
def spoken(text: str, called: str) -> str:
    """``text``, which is written of images, of what is ``called`` so."""
    noun = NOUNS.get(called)
    if noun is None:
        return text
    text = COUNTED.sub(lambda found: f"{found['before']}{_counted(noun, bool(found['noun']))}", text)
    return ENGLISH.sub(lambda found: _english(noun, found), text.replace(CHINESE, noun.chinese))


def _counted(noun: Noun, named: bool) -> str:
    if not noun.counter:
        return noun.chinese
    return noun.counter + (noun.chinese if named else "")


def _english(noun: Noun, found: re.Match[str]) -> str:
    there = found["noun"]
    said = noun.many if there.endswith("s") else noun.one
    if there[0].isupper():
        said = said.capitalize()
    if not (article := found["article"]):
        return said
    right = "an" if said[0].lower() in "aeiou" else "a"
    return f"{right.capitalize() if article[0].isupper() else right} {said}"
