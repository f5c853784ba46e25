"""Names out of files are shown as text."""

import pytest

from pages.ui import numbers
from pages.ui.literal import code, distinct, literal, named, plotted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 'a/1.png', (8, 2) and 10 %", "plain 'a/1.png', (8, 2) and 10 %"),
        ("![x](//evil/x.png)", r"!\[x\](//evil/x.png)"),
        ("<img src=x>", r"\<img src=x\>"),
        (":red[x] :material/x: $x$ `x` *x*", ":red\\[x\\] :\u2060material/x: \\$x\\$ \\`x\\` \\*x\\*"),
        ("a\n\n# b\n- c", "a # b - c"),
        ("back\\[slash", "back\\\\\\[slash"),
        ("__init__.a_b._c", r"\_\_init\_\_.a_b.\_c"),
        ("# a", r"\# a"),
        ("#1", "#1"),
        ("- a", r"\- a"),
        ("1. a", r"1\. a"),
        ("0.conv1", "0.conv1"),
        ("&lt;", r"\&lt;"),
        ("a@evil.org", "a@\u2060evil.org"),
        ("http://evil/ www.evil", "http:\u2060//evil/ www\u2060.evil"),
    ],
)
def test_nothing_in_a_name_is_markup(text, shown):
    assert literal(text) == shown


def test_a_name_does_not_fill_the_page_and_both_its_ends_are_there():
    for shown in (named, code, plotted):
        text = shown("begin" + "x" * 100_000 + "end")
        assert len(text) < 100 and "begin" in text and "end" in text, shown


@pytest.mark.parametrize("name", ["layer1.0.conv1", "a`b", "``", "`a", "a ``` b `` c", ""])
def test_a_code_span_ends_where_the_name_ends(name):
    text = code(name)
    fence = len(text) - len(text.lstrip("`"))
    inside = text[fence:-fence]
    assert text == "`" * fence + inside + "`" * fence and inside.strip() == name.strip()
    assert "`" * fence not in inside.strip(" ") and (not inside.strip().startswith("`") or inside.startswith(" "))


def test_a_name_in_a_figure_is_no_tag_and_no_formula_and_stays_apart_from_others():
    assert plotted("<a href='x'>$y$</a> & z") == "&lt;a href='x'&gt;&#36;y&#36;&lt;/a&gt; &amp; z"
    long = ["a" * 200 + "b" + "c" * 200, "a" * 200 + "d" + "c" * 200, "e"]
    assert len(set(distinct(long))) == 3 and distinct(long)[2] == "e"


def test_a_narrow_space_before_a_unit_is_readable_in_a_figure() -> None:
    assert plotted(numbers.percent(0.85, 0)) == "85 %"
