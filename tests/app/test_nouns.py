"""What an example is called is known from the data, and every text of a page about them says it so."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import streamlit as st
import torch
from scipy.io import wavfile
from torch import nn

from pages.ui import nouns, state
from pages.ui.desk import Desk
from pages.ui.nouns import spoken
from pruning_core.datasets import DIGITS, import_data, load_data
from pruning_core.datasets.called import Called
from pruning_core.zoo import import_model
from tests.app.page_under_test import metrics, opened, text_of
from tests.core.task_nets import archive, pictures
from tests.core.upload_files import exported


def test_every_kind_of_example_has_its_words():
    assert {*nouns.NOUNS, nouns.IMAGE} == set(Called)


@pytest.mark.parametrize(
    ("text", "called", "right"),
    [
        ("All 20 images; an image, each Image.", "row", "All 20 rows; a row, each Row."),
        ("An image at a time, image by image", "example", "An example at a time, example by example"),
        ("{images:,} images of {few_images}", "row", "{images:,} rows of {few_images}"),
        ("'images' and images.npz and test-images.csv", "row", "'images' and images.npz and test-images.csv"),
        ("MACs per image", "recording", "MACs per recording"),
        ("all images", "image", "all images"),
        ("每张图像的 {n:,} 张测试图像，{n} 张。一个张量", "recording", "每段录音的 {n:,} 段测试录音，{n} 段。一个张量"),
        ("每张图像，{n} 张图像，逐张比较", "row", "每行，{n} 行，逐行比较"),
    ],
)  # fmt: skip
def test_the_noun_of_a_text_is_that_of_the_data(text, called, right):
    assert spoken(text, called) == right


def heard() -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for word in ("yes", "no"):
            for number in range(4):
                sound = io.BytesIO()
                wavfile.write(sound, 8000, np.zeros(80, np.int16) + number)
                packed.writestr(f"{word}/{number}.wav", sound.getvalue())
    file.seek(0)
    return file


def test_what_examples_are_called_is_known_from_the_data(tmp_path):
    dice = np.random.default_rng(0)
    table = io.BytesIO(
        b"a,b,kind\n" + b"".join(b"%d,%d,%s\n" % (n, n * n, b"xy"[n % 2 : n % 2 + 1]) for n in range(20))
    )
    found = {
        name: load_data(import_data(file, name, tmp_path, **more), tmp_path).called
        for name, file, more in (
            ("pictures.npz", archive(images=pictures(20)), {}),
            ("table.csv", table, {}),
            ("sounds.zip", heard(), {"samples": 80}),
            ("tokens.npz", archive(inputs=dice.integers(0, 9, (20, 12))), {}),
            ("volumes.npz", archive(inputs=dice.normal(size=(20, 1, 4, 4, 4)).astype(np.float32)), {}),
            ("pairs.npz", archive(**{"inputs/a": dice.integers(0, 9, (20, 3)), "inputs/b": np.ones((20, 2))}), {}),
        )
    }
    assert list(found.values()) == ["image", "row", "recording", "sequence", "volume", "example"]
    assert load_data(DIGITS).called == "image"


PAGES = ("model", "sensitivity", "whatif", "search", "methods", "finetune", "criteria", "similarity", "granularity",
         "latency", "download", "show", "compare")  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    root = state.workspace()
    dice = np.random.default_rng(0)
    inputs = dice.normal(size=(80, 6)).astype(np.float32)
    lines = ["a,b,c,d,e,f,y", *(",".join(f"{value:.3f}" for value in [*row, row.sum()]) for row in inputs)]
    table = io.BytesIO("\n".join(lines).encode())
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
    model = import_model(exported(net.eval(), torch.zeros(2, 6)), "rows.pt2", root).ref
    return Desk(model, import_data(table, "rows.csv", root))


@pytest.mark.parametrize("name", PAGES)
def test_no_page_calls_the_rows_of_a_table_images(name, desk, monkeypatch):
    monkeypatch.setattr(st, "page_link", lambda *_, **__: None)  # other pages are not there when one runs alone
    page = opened(name, monkeypatch, desk=desk)
    words = [text_of(page), *metrics(page)]
    for kind in ("metric", "selectbox", "slider", "select_slider", "button", "toggle", "number_input", "warning"):
        words += [f"{getattr(each, 'label', '')} {getattr(each, 'help', '')}" for each in getattr(page, kind)]
    wrong = [word for word in words if "image" in word.lower().replace("data:image", "")]
    assert not wrong
    assert "ccuracy" not in "".join(words)
