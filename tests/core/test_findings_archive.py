"""What lies in an archive besides pictures in class folders, and names that do not say how they are written."""

import io
import struct
import zipfile
import zlib
from dataclasses import replace

import pytest

from pruning_core.datasets import import_data, load_splits
from pruning_core.datasets.findings import archive
from pruning_core.datasets.zips import code_pages
from pruning_core.errors import UserError
from tests.core.odd_data import colour, folders, notes
from tests.core.test_datasets_uploads import zipped


def test_what_systems_leave_behind_is_passed_over_and_said(tmp_path):
    junk = {"__MACOSX/cat/._0.png": b"j", "cat/.DS_Store": b"j", "dog/Thumbs.db": b"j", "cat/._1.png": b"j"}
    train, test, found = notes(tmp_path, folders() | junk)
    assert found.keys() == {archive.Clutter} and found[archive.Clutter].count == 4 and len(train) + len(test) == 8


def test_files_that_are_not_read_are_named_and_so_are_folders_without_pictures(tmp_path):
    others = {"cow/1.heic": b"h", "cow/2.heic": b"h", "cat/x.avif": b"a", "list.csv": b"1", "more.zip": b"PK"}
    _, _, found = notes(tmp_path, folders() | others)
    assert found[archive.LeftOut].count == 4 and found[archive.LeftOut].suffixes[0] == ".heic"
    assert found[archive.EmptyFolders].names == ("cow",) and found[archive.TextsBeside].count == 1
    with pytest.raises(UserError, match=r"another archive, 'inner\.zip'. Unpack that one"):
        import_data(zipped({"inner.zip": zipped(folders()).getvalue()}), "a.zip", tmp_path)


def test_folders_inside_class_folders_are_said(tmp_path):
    _, _, found = notes(tmp_path, folders() | {"cat/night/1.png": colour()})
    assert found[archive.Subfolders] == archive.Subfolders(1, "cat/night/1.png", "cat")


def test_how_parts_were_read_is_said(tmp_path):
    parts = folders(prefix="train/") | folders(prefix="test/")
    assert notes(tmp_path, parts)[2] == {}
    _, _, found = notes(tmp_path, parts | folders(prefix="val/"))
    assert found[archive.TestFolders].names == ("test", "val")
    assert notes(tmp_path, folders(prefix="x/train/") | folders(prefix="x/val/"))[2][archive.TestFolders].names == (
        "val",
    )
    assert notes(tmp_path, folders(prefix="test/"))[2][archive.OnlyOnePart].name == "test"
    train, test, found = notes(tmp_path, parts, test_file=zipped(folders(count=3)))
    assert (len(train), len(test)) == (8, 6) and found[archive.OwnTestLeftOut].count == 8


def test_class_names_that_are_numbers_or_alike_are_said(tmp_path):
    numbers = {f"{label}/{at}.png": colour() for label in range(12) for at in range(2)}
    train, _, found = notes(tmp_path, numbers)
    assert train.classes[:3] == ("0", "1", "10") and archive.NumbersAsText in found
    padded = {f"{label:02}/{at}.png": colour() for label in range(12) for at in range(2)}
    assert notes(tmp_path, padded)[2] == {}
    _, _, found = notes(tmp_path, folders() | {"Cat/1.png": colour(), "Cat/2.png": colour()})
    assert found[archive.Alike].names == ("Cat", "cat")


def written_in(code_page, names):
    """A zip whose class folders are written in ``code_page`` without saying so."""
    marks = {name: "x" * len(name.encode(code_page)) + str(at) for at, name in enumerate(names)}
    data = zipped({f"{mark}/{at}.png": colour() for mark in marks.values() for at in range(3)}).getvalue()
    for at, (name, mark) in enumerate(marks.items()):
        data = data.replace(f"{mark}/".encode(), name.encode(code_page) + f"{at}/".encode())
    return io.BytesIO(data)


@pytest.mark.parametrize(
    ("code_page", "names"),
    [
        ("gbk", ["猫", "狗"]), ("cp932", ["ねこ", "犬"]), ("big5", ["飛機", "汽車"]), ("cp866", ["Кошка", "Собака"]),
        ("cp1251", ["Кошка", "Собака"]), ("cp850", ["Käfer", "Vögel"]), ("cp1252", ["Käfer", "Vögel"]),
    ],
)  # fmt: skip
def test_names_in_another_code_page_are_guessed_and_the_guess_is_said(tmp_path, code_page, names):
    train, _, found = notes(tmp_path, written_in(code_page, names))
    assert {name[:-1] for name in train.classes} == set(names)
    assert not found[archive.CodePage].sure and "is a guess" in train.notes[0]


def test_another_code_page_can_be_chosen(tmp_path):
    ref = import_data(written_in("cp949", ["고양이", "개"]), "a.zip", tmp_path)
    assert "cp949" in code_pages(ref, tmp_path)
    train, _ = load_splits(replace(ref, code_page="cp949"), tmp_path)
    assert set(train.classes) == {"고양이0", "개1"}
    assert "guess" not in " ".join(train.notes)
    with pytest.raises(UserError, match="not read in the code page 'rot13'"):
        replace(ref, code_page="rot13")


def test_utf8_names_without_the_flag_are_read_as_such(tmp_path):
    train, _, found = notes(tmp_path, written_in("utf-8", ["猫", "Käfer"]))
    assert set(train.classes) == {"猫0", "Käfer1"} and found[archive.CodePage].sure


def test_info_zips_second_name_is_believed_when_its_checksum_fits(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for at in range(6):
            label = "ab"[at % 2]
            raw, name = f"{label}\xe9/{at}.png".encode("cp437"), f"{label}猫/{at}.png".encode()
            info = zipfile.ZipInfo(f"{label}#/{at}.png")
            field = b"\1" + struct.pack("<I", zlib.crc32(raw)) + name
            info.extra = struct.pack("<HH", 0x7075, len(field)) + field
            made.writestr(info, colour())
    data = file.getvalue()
    for label in "ab":
        data = data.replace(f"{label}#/".encode(), f"{label}\xe9/".encode("cp437"))
    train, _, found = notes(tmp_path, io.BytesIO(data))
    assert train.classes == ("a猫", "b猫") and archive.CodePage not in found
