"""Arrays as a stored file: what was put comes back, and anything else is one true sentence."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pruning_core.errors import UserError
from pruning_core.storage.arrays import put_arrays, stored_arrays
from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.trouble import FULL, sentence_of

SENTENCE = "The stored numbers cannot be read. Measure them again."


def npz(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(name, content)
    return out.getvalue()


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=pickled)
    return out.getvalue()


def broken_in_the_middle() -> bytes:
    data = bytearray(npz("a.npy", npy(np.arange(1000)), zipfile.ZIP_DEFLATED))
    data[200:260] = bytes(60)
    return bytes(data)


def test_what_was_put_comes_back_bit_for_bit(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    arrays = {
        "a": np.array([0.1, -0.0, np.nan]),
        "file": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "x" * 70_000: np.ones(1),
    }
    with stored_arrays(artifacts, put_arrays(artifacts, arrays), SENTENCE) as found:
        assert {key: (each.dtype, each.tobytes()) for key, each in found.items()} == {
            key: (each.dtype, each.tobytes()) for key, each in arrays.items()
        }


def test_files_of_versions_before_are_read(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    with stored_arrays(artifacts, artifacts.put(npz("rows.npy", npy(np.arange(3)))), SENTENCE) as found:
        assert {key: each.tolist() for key, each in found.items()} == {"rows": [0, 1, 2]}


def test_a_lone_array_has_no_name(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    with stored_arrays(artifacts, artifacts.put(npy(np.arange(3))), SENTENCE) as found:
        assert list(found) == [""]
        assert found[""].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no file of numbers",
        npz("a.npy", b"no array"),
        npz("a.npy", npy(np.array([{}], object), pickled=True)),
        npz("a.npy", npy(np.arange(3)))[:-9],
        npz(
            "a.npy",
            npy(
                np.arange(1000),
            ),
            zipfile.ZIP_DEFLATED,
        ).replace(b"\x08\x00", b"\x63\x00"),
        broken_in_the_middle(),
    ],
    ids=["empty", "text", "no array in it", "objects", "cut short", "packed in an unknown way", "damaged inside"],
)
def test_a_file_of_something_else_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    artifacts = Artifacts(tmp_path)
    with pytest.raises(UserError, match=SENTENCE), stored_arrays(artifacts, artifacts.put(data), SENTENCE) as found:
        [each.sum() for each in found.values()]


def test_a_full_disk_leaves_what_was_stored_and_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = Artifacts(tmp_path)
    before = put_arrays(artifacts, {"a": np.arange(3)})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no room") as caught:
        patched.setattr(os, "fsync", full)
        put_arrays(artifacts, {"a": np.arange(4)})
    assert sentence_of(caught.value) == FULL
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == [before]
    with stored_arrays(artifacts, put_arrays(artifacts, {"a": np.arange(4)}), SENTENCE) as found:
        assert found["a"].tolist() == [0, 1, 2, 3]


def test_what_the_reader_does_not_expect_is_the_same_sentence(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    digest = put_arrays(artifacts, {"a": np.arange(3)})
    with pytest.raises(UserError, match=SENTENCE), stored_arrays(artifacts, digest, SENTENCE) as found:
        found["b"].sum()
    with pytest.raises(UserError, match=SENTENCE), stored_arrays(artifacts, digest, SENTENCE) as found:
        raise ValueError(f"not {len(found)} of them")
