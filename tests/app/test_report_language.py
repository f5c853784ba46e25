"""The report in the language of whoever asks: in Chinese no English sentence is left, and its letters are there."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pages.ui import state
from tests.app.pruned_desk import pruned_desk
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)
from tests.app.test_show_any_task import ME, cut_desk, reported
from tests.core.task_nets import Enlarger, pictures

SENTENCE = re.compile(r"[A-Za-z]{2,}(?:[ ,]+[a-z]{2,}){1,}")
NAMES = ("ResNet on digits", "digits resnet")  # of networks: the same in every language


class Texts(HTMLParser):
    """What somebody reads or hears: outside of style and code, with alternative texts and those of the figures."""

    def __init__(self):
        super().__init__()
        self.found, self.inside, self.language = [], [], ""

    def handle_starttag(self, tag, attributes):
        if tag in ("style", "script", "code"):
            self.inside.append(tag)
        given = dict(attributes)
        self.language = given.get("lang", self.language)
        self.found += [given[each] for each in ("alt", "aria-label") if each in given]

    def handle_endtag(self, tag):
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.found.append(data)
        elif self.inside[-1] == "script" and data.startswith("{"):
            self.found += words_in(json.loads(data))


def words_in(value):
    """Every text in a figure that is shown: titles, names, what stands beside the pointer."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("template", "type", "mode", "font", "meta")}
        return [text for each in kept.values() for text in words_in(each)]
    if isinstance(value, list):
        return [text for each in value for text in words_in(each)]
    return [value] if isinstance(value, str) else []


def english_in(texts):
    return [text for text in texts if SENTENCE.search(re.sub("|".join(NAMES), "", text))]


@pytest.mark.parametrize("kind", ["classes", "pictures"])
def test_no_english_sentence_is_left_in_the_chinese_one(kind, monkeypatch, one_thread):  # noqa: F811
    if kind == "classes":
        desk = pruned_desk(state.workspace(), ME)
    else:
        large = pictures(60, side=32).transpose(0, 3, 1, 2).astype(np.float32) / 255
        desk = cut_desk(Enlarger, "first", images=pictures(60), labels=large)
    text = reported(desk, monkeypatch, language="zh")
    found = Texts()
    found.feed(text)
    assert found.language == "zh-CN" and len(found.found) > 60
    assert not english_in(found.found)
    assert "数字的来源" in text and "实测" in text
    assert text.count("@font-face") == 2 and "url(data:font/woff2;base64," in text


def test_what_counts_as_an_english_sentence():
    assert english_in(["Layers before and after"]) and english_in(["95 % bounds, before 3"]) == [
        "95 % bounds, before 3"
    ]
    assert not english_in(["ResNet on digits", "MACs", "Conv2d", "layer1.0.conv1", "测试图像 3", "Top-1 准确率"])
