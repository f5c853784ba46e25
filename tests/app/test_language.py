"""The pages in two languages."""

import re

import pytest

from pages.ui import catalogue
from tests.app.test_app_shell import app  # noqa: F401 (a fixture)
from tools import messages


def test_the_switch_changes_every_text_and_nothing_else(app):  # noqa: F811
    assert "Where you are" in [each.value for each in app.subheader]
    texts = len(app.markdown)
    app.segmented_control(key="language").set_value("zh").run()
    assert not app.exception and not app.error
    assert "当前位置" in [each.value for each in app.subheader]
    assert len(app.markdown) == texts


def test_without_a_visitor_it_is_english():
    from pages.ui.language import _, current

    assert current() == "en" and _("Plan") == "Plan"


@pytest.fixture
def small(tmp_path, monkeypatch):
    (tmp_path / "zh_CN").mkdir()
    (tmp_path / "zh_CN" / "core_x.po").write_text(
        'msgid "{0} has {1} channels."\nmsgstr "{1} 个通道属于 {0}。"\n\n'
        'msgid "the first layer"\nmsgstr "第一层"\n\n'
        'msgid "{0}: {1}"\nmsgstr "{0}：{1}"\n\n'
        'msgid "{n} file"\nmsgid_plural "{n} files"\nmsgstr[0] "{n} 个文件"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(catalogue, "LOCALES", tmp_path)
    catalogue.translations.cache_clear()
    yield catalogue.translations("zh_CN")
    catalogue.translations.cache_clear()


def test_a_sentence_of_the_core_is_known_by_its_form(small):
    assert small.filled("conv1 has 8 channels.") == "8 个通道属于 conv1。"
    assert small.filled("the first layer has 8 channels.") == "8 个通道属于 第一层。"


def test_what_nobody_translated_stays_as_it_is(small):
    assert small.filled("conv1 has no channels at all") == "conv1 has no channels at all"


def test_a_form_without_words_is_no_form(small):
    assert small.filled("a: b") == "a: b"


def test_plural_forms(small):
    assert small.texts.ngettext("{n} file", "{n} files", 3) == "{n} 个文件"


def test_a_translation_with_another_place_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "wanted", lambda: {"x": {"{n} rows": ["x.py"], "one": ["x.py"], "two": ["x.py"]}})
    (tmp_path / "x.po").write_text(
        'msgid "{n} rows"\nmsgstr "{m} 行"\n\nmsgid "one"\nmsgstr "一"\n\nmsgid "two"\nmsgstr ""\n', encoding="utf-8"
    )
    locale = tmp_path.rename(tmp_path.parent / "zh_CN")
    found = messages.missing(locale)
    assert [each.split(":")[1].strip() for each in found] == ["{n} rows", "two"]


def test_texts_are_found_where_they_are_marked_and_where_the_core_speaks(tmp_path):
    page = tmp_path / "page.py"
    page.write_text(
        'st.write(_("one"), f"{_(\'two\')} three", ngettext("{n} four", "{n} fours", n), N_("five"), "six")'
    )
    assert set(messages.of_a_page(page)) == {"one", "two", ("{n} four", "{n} fours"), "five"}


def test_what_counts_as_a_sentence_of_the_core(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    source = tmp_path / "pruning_core" / "x" / "y.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        '"""A docstring of a module."""\n'
        'raise UserError(f"no {name} here")\n'
        'raise ValueError("Our own mistake is for us.")\n'
        'def obstacle(n):\n    return f"It has {n} layers only."\n'
    )
    assert set(messages.of_the_core(source)) == {"no {0} here", "It has {0} layers only."}


def test_a_text_that_one_of_two_files_translates_is_translated(small, tmp_path):
    (tmp_path / "zh_CN" / "a.po").write_text('msgid "the first layer"\nmsgstr ""\n', encoding="utf-8")
    catalogue.translations.cache_clear()
    assert catalogue.translations("zh_CN").texts.gettext("the first layer") == "第一层"


@pytest.mark.parametrize("locale", sorted(messages.LOCALES.iterdir()), ids=lambda path: path.name)
def test_no_text_is_missing(locale):
    """After a new or changed text: python -m tools.messages."""
    assert not messages.missing(locale)


def test_what_the_core_says_of_a_network_and_where_it_was_measured_is_chinese(monkeypatch):
    from pages.ui import language, provenance
    from pages.ui.inputs import told
    from pruning_core.zoo.interface import Input, Interface
    from pruning_core.zoo.meaning import Meaning, Outputs

    monkeypatch.setattr(language, "current", lambda: "zh")
    outputs = [Outputs(width, meaning, "as you said", (4, 4)) for meaning in Meaning for width in (1, 7)]
    sides = [Input("浮", (3, 4)), Input("数", ()), Input("词", (12,), "int64", 50), Input("城", (), "int64")]
    texts = [language.said(each) for one in outputs for each in (str(one), *one.notes)]
    texts += [told(Interface(tuple(sides))), told(Interface((sides[2],)))]
    texts += [provenance.part_of(f"数据 ({split})") for split in ("train", "fit", "held-out", "test")]
    assert [each for each in texts if re.search("[a-z]", each)] == []
    assert provenance.part_of("digits (mine)") == "digits (mine)"
