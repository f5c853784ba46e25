"""Small files that would take gigabytes, or mean something else than they say: a sentence each, and no harm.

Each is a few kilobytes, made here. It is read in a process of its own; what that takes is counted.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pruning_core.datasets import images, import_data, load_splits, pictures, safe_zip
from pruning_core.datasets import npy as npy_module
from pruning_core.errors import UserError
from pruning_core.storage import memory
from tests.core.bounded import bounded
from tests.core.hostile_data import ARCHIVES, ARRAYS, PICTURES, described, honest, npz, png, with_one, zipped

SMALL = 40_000  # bytes of a file here
REFUSED, READ = 16 << 20, 64 << 20  # bytes that may be taken by what is refused, and by what is read
DECODED = 450 << 20  # by a picture of nearly as many pixels as are allowed, which is made small afterwards
SECONDS = 10.0


def opened(path: str, folder: str) -> None:
    ref = import_data(Path(path), Path(path).name, Path(folder))
    load_splits(ref, Path(folder))


def cases() -> list[pytest.param]:
    found = [pytest.param(make, "a.zip", said, id=name) for name, (make, said) in ARCHIVES.items()]
    found += [
        pytest.param(lambda make=make: with_one(make()), "a.zip", said, id=name)
        for name, (make, said) in PICTURES.items()
    ]
    return found + [pytest.param(make, "a.npz", said, id=name) for name, (make, said) in ARRAYS.items()]


LARGE = {"a JPEG that says 7,000 x 7,000", "a GIF of a large canvas", "a TIFF of one packed strip",
         "one huge picture among small ones"}  # fmt: skip


@pytest.mark.parametrize(("make", "name", "said"), cases())
def test_a_hostile_file_gets_a_sentence_and_costs_little(tmp_path, request, make, name, said):
    path = tmp_path / name
    path.write_bytes(make())
    assert path.stat().st_size < SMALL
    came = bounded(opened, str(path), str(tmp_path / "kept"))
    assert bool(said) == bool(came.sentence), came.sentence
    assert re.search(said, came.sentence), came.sentence
    assert len(came.sentence) < 400
    allowed = DECODED if request.node.callspec.id in LARGE else REFUSED if said else READ
    assert came.bytes < allowed and came.seconds < SECONDS, came


# -- memory is counted before it is taken ------------------------------------------------------------------------------


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: float(20 << 20))


def test_a_zip_is_refused_before_it_is_decoded_when_it_would_not_fit(tmp_path, little_memory, monkeypatch):
    monkeypatch.setattr(images, "shown", None)  # a pixel that is decoded would fail on this
    large = {f"{'ab'[at % 2]}/{at}.png": png((1200, 1200)) for at in range(8)}
    with pytest.raises(UserError, match=r"8 images of 'a.zip', at 1200 x 1200 pixels, would take .* Choose a smaller"):
        import_data(io.BytesIO(zipped(large)), "a.zip", tmp_path)


def test_a_zip_that_does_not_fit_may_be_made_smaller(tmp_path, little_memory):
    large = {f"{'ab'[at % 2]}/{at}.png": png((900, 900)) for at in range(8)}
    ref = import_data(io.BytesIO(zipped(large)), "a.zip", tmp_path, size=(30, 30))
    assert load_splits(ref, tmp_path)[0].size == (1, 30, 30)


def test_an_npz_is_refused_before_it_is_read_when_it_would_not_fit(tmp_path, little_memory, monkeypatch):
    monkeypatch.setattr(npy_module, "values", None)
    data = npz(described("'|u1'", "(12, 1000, 1000)", bytes(12_000_000)))
    with pytest.raises(UserError, match=r"The images of 'a.npz' would take"):
        import_data(io.BytesIO(data), "a.npz", tmp_path)


def test_a_small_npz_set_to_large_pictures_is_refused_before_it_is_resized(tmp_path, little_memory):
    data = npz(described("'|u1'", "(600, 1, 1)", bytes(600)), described("'|u1'", "(600,)", bytes(range(2)) * 300))
    ref = import_data(io.BytesIO(data), "a.npz", tmp_path)
    with pytest.raises(UserError, match="480 images of 224 × 224 pixels would take"):
        load_splits(replace(ref, size=(224, 224)), tmp_path)
    with pytest.raises(UserError, match="would take"):
        load_splits(ref, tmp_path)[0].fitted((3, 160, 160))


def test_more_pixels_than_anybody_waits_for_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_TOTAL_PIXELS", 100)
    with pytest.raises(UserError, match=r"billion pixels together"):
        import_data(io.BytesIO(zipped(honest())), "a.zip", tmp_path)


def test_more_members_than_are_read_are_refused_before_they_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_zip, "MAX_MEMBERS", 5)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    data = b"".join([b"PK\x01\x02" + bytes(60)] * 9)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 9, 9, len(data), 0, 0)
    with pytest.raises(UserError, match="more than 5 files"):
        import_data(io.BytesIO(data + end), "a.zip", tmp_path)
