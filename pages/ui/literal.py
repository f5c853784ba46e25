"""What somebody else wrote, as text: a name out of a file may hold Markdown, and a picture in it would be fetched.

A sentence goes through `literal`, a name through `named`, `code` or `plotted`, which also leave out the middle of one
that would fill the page. Options of a select box, cells of a table and alternative texts are plain text already.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from pages.ui.numbers import THIN
from pruning_core.errors import clip

# Pictures, links, directives, code, emphasis, formulas and tables all need one of these; the rest stays legible. An
# underscore within a word is none of that.
MARKS = re.compile(r"([\\\[\]<>`*$~|&]|(?<![^\W_])_|_(?![^\W_]))")
BREAKS = re.compile(r"[ \t\r\n\f\v\x1c-\x1f\x85\u2028\u2029]+")  # the space between a number and its unit is none
BLOCK = re.compile(r"^(#{1,6}(?=\s|$)|[-+=])")  # a heading, list or rule, where it begins a line
NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
NICKNAMED = re.compile(r":(?=[\w+/-]+:)")  # the colon of an emoji or an icon by its name
ADDRESSED = re.compile(r"(?<=[\w.+-])@(?=\w)")
JOINED = "\N{WORD JOINER}"  # invisible; an address with it in is none, so that nothing is offered to be clicked


def _one_line(text: str) -> str:
    return BREAKS.sub(" ", text).strip()


def literal(text: str) -> str:
    """``text`` in such a way that Markdown shows it as it is, on one line."""
    plain = MARKS.sub(r"\\\1", _one_line(text))
    plain = NUMBERED.sub(r"\1\\\2", BLOCK.sub(r"\\\1", plain))
    plain = plain.replace("://", f":{JOINED}//").replace("www.", f"www{JOINED}.")
    return ADDRESSED.sub(f"@{JOINED}", NICKNAMED.sub(f":{JOINED}", plain))


def named(name: str) -> str:
    """A name in Markdown."""
    return literal(clip(name))


def code(name: str) -> str:
    """A name in Markdown, set as code: with more backticks around it than it has anywhere in a row."""
    text = _one_line(clip(name))
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if len(fence) > 1 or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def plotted(name: str) -> str:
    """A name in a figure: there a few tags and formulas count. The narrow space before a unit becomes a usual one."""
    return html.escape(clip(name.replace(THIN, " ")), quote=False).replace("$", "&#36;")


def distinct(names: Iterable[str]) -> list[str]:
    """Names along an axis, each once: two that differ in their middles only are numbered."""
    return numbered(map(plotted, names))


def numbered(names: Iterable[str]) -> list[str]:
    """Names of which no two are equal: the second of its kind has a 2."""
    found: list[str] = []
    taken: dict[str, int] = {}
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return found
