"""What a pruning came to as one HTML file that opens anywhere, offline: nothing in it is fetched, every name is text.

This module knows no way to draw: a ``Chart`` is JSON, and what draws it is handed to ``html_of`` as source text that
goes into the file once. The file's own policy forbids every request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from pruning_core.export.report_style import DRAWING, POLICY, STYLE

Mark = Literal["measured", "derived", "estimated", "published"]
MARKS: tuple[Mark, ...] = ("measured", "derived", "estimated", "published")
PNG = "data:image/png;base64,"
SAID = {True: ("right", "✓ "), False: ("wrong", "✗ "), None: ("plain", "")}


@dataclass(frozen=True)
class Fact:
    """A large number of the summary; ``source`` says on what, how many images, which device."""

    label: str
    value: str
    detail: str
    mark: Mark
    source: str


@dataclass(frozen=True)
class Chart:
    """``figure``: data and layout as the drawing library reads them; ``alt`` says it in words."""

    title: str
    figure: Mapping[str, Any]
    alt: str
    mark: Mark
    source: str


@dataclass(frozen=True)
class Table:
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    mark: Mark
    source: str


@dataclass(frozen=True)
class Picture:
    """``uri`` is a PNG as a data URI; each of ``lines`` is (text, whether it is right), None for what is neither."""

    uri: str
    alt: str
    lines: Sequence[tuple[str, bool | None]]


@dataclass(frozen=True)
class Gallery:
    """``together``: so many pictures stand beside one another on one line, whatever the width."""

    title: str
    note: str
    pictures: Sequence[Picture]
    together: int = 1


@dataclass(frozen=True)
class Words:
    """What the file says around what it is given, in ``language`` (of the attribute ``lang``).

    ``sources``: over the table of where the numbers come from, whose titles are ``columns``. ``fonts``: rules of CSS
    that bring the font ``family`` along, for languages that a reader's machine may have no letters for.
    """

    language: str = "en"
    changed: str = "What changed"
    made: str = "How it was made"
    loading: str = "How to load it"
    sources: str = "Where the numbers come from"
    columns: tuple[str, str, str, str] = ("Number", "Value", "Kind", "From")
    marks: Mapping[Mark, str] = field(default_factory=lambda: {mark: str(mark) for mark in MARKS})
    family: str = ""
    fonts: str = ""


@dataclass(frozen=True)
class Report:
    """``summary``: sentences for a reader who has two minutes. ``loading``: (what, source text) to copy."""

    title: str
    subtitle: str
    summary: Sequence[str]
    facts: Sequence[Fact]
    charts: Sequence[Chart]
    tables: Sequence[Table]
    gallery: Gallery | None
    made: Sequence[str]
    loading: Sequence[tuple[str, str]]
    words: Words = Words()


def html_of(report: Report, drawing_library: str) -> str:
    """The file. ``drawing_library`` defines ``Plotly`` when it is run. Raises ValueError for a picture that is none."""
    words = report.words
    charts = "".join(_chart(number, chart, words) for number, chart in enumerate(report.charts))
    body = (
        f'<section class="summary"><h1>{_text(report.title)}</h1><p class="sub">{_text(report.subtitle)}</p>'
        f'<div class="facts">{"".join(_fact(each, words) for each in report.facts)}</div>'
        f"<ul>{_items(report.summary)}</ul></section>"
        f"<section><h2>{_text(words.changed)}</h2>{charts}</section>"
        f"{_gallery(report.gallery) if report.gallery else ''}"
        f"<section>{''.join(_table(each, words) for each in report.tables)}</section>"
        f"<section><h2>{_text(words.made)}</h2><ul>{_items(report.made)}</ul></section>"
        f"<section><h2>{_text(words.loading)}</h2>{''.join(map(_code, report.loading))}</section>"
        f"{_sources(report)}"
    )
    library = drawing_library.replace("</script", "<\\/script")
    return (
        f'<!doctype html><html lang="{_text(words.language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(report.title)}</title><style>{STYLE}{_lettering(words)}</style></head><body><main>{body}</main>"
        f"<script>{library}</script><script>{DRAWING}</script></body></html>\n"
    )


def _text(text: str) -> str:
    return escape(text, quote=True)


def _items(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{_text(each)}</li>" for each in sentences)


def _lettering(words: Words) -> str:
    if not words.fonts:
        return ""
    return f'{words.fonts}body{{font-family:"{words.family}",system-ui,sans-serif}}'


def _badge(mark: Mark, words: Words) -> str:
    return f'<span class="badge {mark}">{_text(words.marks[mark])}</span>'


def _fact(fact: Fact, words: Words) -> str:
    return (
        f'<div class="fact"><div class="label">{_text(fact.label)}</div><div class="value">{_text(fact.value)}</div>'
        f'<div class="detail">{_badge(fact.mark, words)} {_text(fact.detail)}</div></div>'
    )


def _chart(number: int, chart: Chart, words: Words) -> str:
    # Inside a script only "<" could end it; JSON may write it by its number.
    figure = json.dumps(chart.figure, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<figure class="chart"><h3>{_text(chart.title)}</h3>'
        f'<div class="plot" id="plot{number}" role="img" aria-label="{_text(chart.alt)}"></div>'
        f'<script type="application/json" data-for="plot{number}">{figure}</script>'
        f"<figcaption>{_badge(chart.mark, words)} {_text(chart.source)}</figcaption></figure>"
    )


def _table(table: Table, words: Words) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in table.head)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return (
        f'<h2>{_text(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        f'</table></div><p class="source">{_badge(table.mark, words)} {_text(table.source)}</p>'
    )


def _gallery(gallery: Gallery) -> str:
    cells = []
    for picture in gallery.pictures:
        if not picture.uri.startswith(PNG):
            raise ValueError("a picture of a report lies in the file itself")
        lines = "".join(
            f'<div class="{SAID[right][0]}">{SAID[right][1]}{_text(text)}</div>' for text, right in picture.lines
        )
        image = f'<img src="{_text(picture.uri)}" alt="{_text(picture.alt)}">'
        cells.append(f'<figure class="picture">{image}{lines}</figure>')
    if gallery.together > 1:
        sets = ("".join(cells[at : at + gallery.together]) for at in range(0, len(cells), gallery.together))
        cells = [f'<div class="set">{each}</div>' for each in sets]
    return (
        f"<section><h2>{_text(gallery.title)}</h2>"
        f'<p>{_text(gallery.note)}</p><div class="pictures">{"".join(cells)}</div></section>'
    )


def _code(part: tuple[str, str]) -> str:
    what, source = part
    return f"<p>{_text(what)}</p><pre><code>{_text(source)}</code></pre>"


def _sources(report: Report) -> str:
    """Every number of the summary once more, with all that is known of where it comes from."""
    words = report.words
    rows = "".join(
        f"<tr><td>{_text(fact.label)}</td><td>{_text(fact.value)}</td><td>{_badge(fact.mark, words)}</td>"
        f"<td>{_text(fact.source)}</td></tr>"
        for fact in report.facts
    )
    head = "".join(f"<th>{_text(each)}</th>" for each in words.columns)
    title = f"<h2>{_text(words.sources)}</h2>"
    return (
        f'<section>{title}<div class="wide"><table class="sources"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )
