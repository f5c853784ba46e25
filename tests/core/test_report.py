"""The report as a file: every name is text, nothing is fetched, every number of the summary has its source."""

import json
import re
from html.parser import HTMLParser

import pytest

from pruning_core.export.report import Chart, Fact, Gallery, Picture, Report, Table, html_of

WORST = "a\"'`![x](http://evil/x)<img src=//evil/x onerror=alert(1)></script><script>alert(2)</script>&amp;"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Tags(HTMLParser):
    """Every element with its attributes, and the text outside scripts."""

    def __init__(self):
        super().__init__()
        self.found, self.text, self.inside = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


@pytest.fixture
def report():
    figure = {"data": [{"type": "bar", "x": [1], "y": [WORST]}], "layout": {"title": {"text": WORST}}}
    return Report(
        WORST, WORST, [WORST], [Fact(WORST, "1 MACs", WORST, "measured", WORST)],
        [Chart(WORST, figure, WORST, "derived", WORST)], [Table(WORST, [WORST], [[WORST]], "derived", WORST)],
        Gallery(WORST, WORST, [Picture(PIXEL, WORST, [(WORST, False)])]), [WORST], [(WORST, WORST)],
    )  # fmt: skip


def test_names_with_markup_stay_text(report):
    tags = Tags()
    tags.feed(html_of(report, "var Plotly = '</script>';"))
    names = [tag for tag, _ in tags.found]
    assert names.count("img") == 1 and not {"iframe", "link", "object", "a"} & set(names)
    assert names.count("script") == 3, "the figure's data, the library, the drawing"
    for _, attributes in tags.found:
        assert not [each for each in attributes if each.startswith("on")]
        assert attributes.get("src", PIXEL) == PIXEL and "href" not in attributes
    assert "".join(tags.text).count(WORST) >= 15


def test_the_figures_come_back_as_they_were(report):
    text = html_of(report, "")
    (stored,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert json.loads(stored) == report.charts[0].figure


def test_nothing_may_be_fetched_and_every_number_has_its_source(report):
    text = html_of(report, "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src 'none'") and "http" not in policy and "*" not in policy
    assert text.count('<span class="badge measured">') == 2, "beside the number, and in the table of sources"
    with pytest.raises(ValueError, match="in the file itself"):
        html_of(Report("", "", [], [], [], [], Gallery("", "", [Picture("http://evil/x.png", "", [])]), [], []), "")
