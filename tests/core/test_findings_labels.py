"""Labels from anywhere, unequal classes, copies of pictures; and how findings are stored."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from pruning_core.datasets import findings, import_data, load_splits
from pruning_core.datasets.findings import FINDINGS, Finding, archive, copies, labels, pixels
from pruning_core.datasets.raw import Raw
from pruning_core.errors import UserError
from tests.core.odd_data import RNG, arrays, colour, folders, noise, notes, stored
from tests.core.test_datasets_uploads import npz, zipped


@pytest.mark.parametrize(
    ("given", "kinds", "classes"),
    [
        (np.arange(12) % 3 + 1, {labels.Renumbered}, ("1", "2", "3")),
        (np.arange(12) % 3 * 2, {labels.Renumbered}, ("0", "2", "4")),
        (np.arange(12) % 3 - 1, {labels.Renumbered, labels.Negative}, ("-1", "0", "1")),
        ((np.arange(12) % 3).astype("f"), {labels.WholeFloats}, ("0", "1", "2")),
        (np.eye(3)[np.arange(12) % 3], {labels.OneHot}, ("0", "1", "2")),
        (np.eye(4, dtype=bool)[np.arange(12) % 3], {labels.OneHot, labels.Missing}, ("0", "1", "2", "3")),
        (np.array(["owl", "emu", "kiwi"] * 4), {labels.Alphabetical}, ("emu", "kiwi", "owl")),
        (np.array([b"owl", b"emu", b"kiwi"] * 4), {labels.Alphabetical}, ("emu", "kiwi", "owl")),
        (np.array(["9", "10", "11"] * 4), {archive.NumbersAsText}, ("10", "11", "9")),
        ((np.arange(12) % 3)[:, None], set(), ("0", "1", "2")),
    ],
)
def test_labels_are_numbered_from_zero_and_how_is_said(tmp_path, given, kinds, classes):
    train, test, found = notes(tmp_path, arrays(labels=given), "a.npz")
    assert found.keys() == kinds and train.classes == classes
    names = np.asarray([train.classes[label] for label in torch.cat((train.labels, test.labels))])
    flat = given.argmax(1) if given.ndim == 2 and given.shape[1] > 1 else given.ravel()
    want = [item.decode() if isinstance(item, bytes) else f"{item:g}" if flat.dtype.kind == "f" else str(item)
            for item in flat.tolist()]  # fmt: skip
    assert sorted(names) == sorted(want)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.full(12, np.nan), "not all finite"),
        (np.full((12, 3), np.inf), "not all finite"),
        (np.full((12, 6, 5), 256), r"shape \(12, 6, 5\) and run from 256 to 256"),
        (np.full((12, 6, 5), -1), "run from -1 to -1"),
        (np.zeros(12, int), "All labels of 'a.npz' are the same"),
        (np.full(12, 2**63 + 5, np.uint64), "too large"),
        (np.arange(12).astype("datetime64[D]"), "holds values of the kind"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, given, sentence):
    with pytest.raises(UserError, match=sentence):
        import_data(arrays(labels=given), "a.npz", tmp_path)


@pytest.mark.parametrize(
    ("given", "shape", "kind"),
    [
        (np.full((12, 3), 1 / 3), (3,), "float32"),
        (np.linspace(0, 1, 12), (), "float32"),
        (np.linspace(0, 1, 12)[:, None], (), "float32"),
        (np.zeros((12, 3)), (3,), "float32"),
        (np.arange(12 * 5 * 6).reshape(12, 5, 6) % 7, (5, 6), "uint8"),
        (np.full((12, 4, 4, 3), 255, np.uint8), (3, 4, 4), "float32"),
        (np.ones((12, 2, 3, 4, 5)), (2, 3, 4, 5), "float32"),
    ],
)
def test_labels_that_are_no_classes_are_kept_as_they_are(tmp_path, given, shape, kind):
    ref = import_data(arrays(labels=given), "a.npz", tmp_path)
    for train, test in (load_splits(ref, tmp_path), load_splits(ref, tmp_path)):  # read, and from the decoded copy
        assert train.classes == test.classes == () and train.labels.shape[1:] == test.labels.shape[1:] == shape
        assert train.labels.dtype == getattr(torch, kind) and labels.Targets(shape) in train.findings
    if kind == "float32" and given.dtype == np.uint8:
        assert bool((train.labels == 1).all()), "pictures from 0 to 1"
    elif len(shape) != 4 or given.ndim == 5:
        kept = torch.cat([train.labels, test.labels]).flatten(1 if shape else 0).double().sum()
        assert float(kept) == pytest.approx(float(given.sum()), rel=1e-6)


def test_images_alone_are_data(tmp_path):
    images = np.stack([noise() for _ in range(12)])
    ref = import_data(npz(images=images, x_test=images[:4] ^ 1), "a.npz", tmp_path)
    train, test = load_splits(ref, tmp_path)
    assert (len(train), len(test), train.classes, train.labelled) == (12, 4, (), False)
    assert labels.Unlabelled() in train.findings
    fit, held_out = train.split_off(0.25)
    assert (len(fit), len(held_out)) == (9, 3)


def test_classes_missing_in_a_part_and_unequal_classes_are_said(tmp_path):
    images = np.stack([noise() for _ in range(40)])
    file = npz(images=images, labels=[0] * 30 + [1] * 7 + [2] * 3, x_test=images[:4] ^ 1, y_test=[0, 1, 0, 1])
    _, _, found = notes(tmp_path, file, "a.npz")
    assert found[labels.Missing] == labels.Missing("test", ("2",), 3)
    assert found[labels.Unequal] == labels.Unequal("2", 3, "0", 30, 0.75)
    named = arrays(classes=np.array(["a", "b", "c", "d"]))
    assert notes(tmp_path, named, "a.npz")[2][labels.Missing].names == ("d",)


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [
        ((12, 8, 10, 3), pixels.ChannelsLast, (3, 8, 10)),
        ((12, 3, 8, 3), pixels.EitherAxis, (3, 8, 3)),
        ((12, 4, 8, 10), pixels.FourthChannel, (3, 8, 10)),
        ((12, 8, 10, 4), pixels.FourthChannel, (3, 8, 10)),
    ],
)
def test_how_the_axes_of_an_array_were_read_is_said(tmp_path, shape, kind, size):
    images = RNG.integers(0, 256, shape).astype(np.uint8)
    train, _, found = notes(tmp_path, arrays(images=images), "a.npz")
    assert kind in found and train.size == size


def test_arrays_that_nobody_asked_for_are_named(tmp_path):
    _, _, found = notes(tmp_path, arrays(x_val=np.zeros(3), y=np.zeros(3)), "a.npz")
    assert set(found[archive.ArraysLeftOut].names) == {"x_val", "y"}


def test_the_same_picture_in_two_classes_is_found(tmp_path):
    same = colour()
    train, _, found = notes(tmp_path, folders() | {"cat/same.png": same, "dog/same.png": same, "dog/again.png": same})
    assert found.keys() == {copies.Contradictory}
    assert found[copies.Contradictory].count == 3
    assert set(found[copies.Contradictory].example) <= {"cat/same.png", "dog/same.png", "dog/again.png"}
    assert "more than one class" in train.notes[0]


def test_test_images_among_the_training_images_are_counted(tmp_path):
    train = folders(prefix="train/")
    test = {name.replace("train/", "test/"): data for name, data in list(train.items())[:3]}
    _, _, found = notes(tmp_path, train | test | {"test/dog/new.png": colour()})
    assert (found[copies.Leaked].count, found[copies.Leaked].total) == (3, 4)


@pytest.mark.parametrize("size", [(8, 10), (9, 11)])
def test_copies_inside_a_class_are_counted(tmp_path, size):
    """With and without bytes that do not fill a word of the hash."""
    images = [stored(noise(size)) for _ in range(8)]
    members = {f"{'ab'[at % 2]}/{at}.png": data for at, data in enumerate(images)}
    members |= {f"a/{at}-copy.png": images[at] for at in (0, 2)}
    _, _, found = notes(tmp_path, members)
    assert found[copies.Repeated] == copies.Repeated(2, 10, divided=True)


def test_pictures_that_differ_in_one_pixel_are_no_copies(tmp_path):
    images = np.repeat(noise()[None], 12, 0)
    images[:, 4, 5, 1] = np.arange(12)
    assert notes(tmp_path, arrays(images=images), "a.npz")[2].keys() == {pixels.ChannelsLast}


def test_equal_black_and_blank_pictures_are_said(tmp_path):
    black = np.zeros((12, 6, 6), np.uint8)
    assert notes(tmp_path, arrays(images=black), "a.npz")[2] == {copies.AllEqual: copies.AllEqual(12, True)}
    equal = np.repeat(noise(channels=1)[None], 12, 0)
    assert notes(tmp_path, arrays(images=equal), "a.npz")[2] == {copies.AllEqual: copies.AllEqual(12, False)}
    blank = np.arange(12, dtype=np.uint8)[:, None, None] * np.full((1, 6, 6), 20, np.uint8)
    assert notes(tmp_path, arrays(images=blank), "a.npz")[2] == {copies.Blank: copies.Blank(12, 12)}


def every_finding():
    """One of each class, with values of the declared types."""
    made = {
        "int": 3, "float": 0.5, "str": "猫/1.png", "bool": True, "tuple[str, ...]": ("a", "b", "c", "d"),
        "tuple[str, str]": ("a", "b"), "tuple[int, int]": (4, 5), "tuple[int, ...]": (12, 3, 3),
    }  # fmt: skip
    said = {"way_out": "Say where to find others."}  # a sentence of whoever keeps the data, not a word of it
    return tuple(cls(**{f.name: said.get(f.name, made[f.type]) for f in dataclasses.fields(cls)}) for cls in FINDINGS)


def test_every_kind_of_finding_is_listed_once_and_survives_storage():
    assert set(FINDINGS) == set(Finding.__subclasses__()) and len(set(FINDINGS)) == len(FINDINGS)
    assert findings.read(findings.written(every_finding())) == every_finding()
    for text in ("[1]", '"x"', "{", '[{"$":"Path"}]'):
        with pytest.raises((ValueError, TypeError)):
            findings.read(text)


@pytest.mark.parametrize("finding", every_finding(), ids=lambda each: type(each).__name__)
def test_every_finding_is_a_sentence(finding):
    said = finding.sentence
    assert said[0] in "'34ATEFNO" and said.endswith(".")
    assert "  " not in said and len(said) < 400


def test_findings_are_stored_with_the_import(tmp_path):
    ref = import_data(zipped(folders(lambda: stored(noise(channels=1, high=4096, dtype=np.uint16)))), "a.zip", tmp_path)
    first = load_splits(ref, tmp_path)[0].findings
    (kept,) = (tmp_path / "cache" / "images").iterdir()
    assert first and load_splits(ref, tmp_path)[0].findings == first and kept.is_file()


def test_doubts_come_before_conversions():
    raw = Raw(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
    assert raw.also((pixels.GreyAsColour(),)).findings == (pixels.GreyAsColour(),)
    from tests.core.test_datasets import make

    data = replace(make(), findings=(pixels.GreyAsColour(), pixels.ZeroOne()))
    assert data.notes == (pixels.ZeroOne().sentence, pixels.GreyAsColour().sentence)
