"""Weights of a ``.keras`` file that lie elsewhere, in a second file that is there, or that are not stored at all.

The second file holds what the network wants: whoever followed the link would load the network. Nobody opens it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pruning_core.errors import UserError
from pruning_core.export.keras_file import export_keras
from pruning_core.zoo import import_model
from pruning_core.zoo.keras_files.reading import read_keras
from tests.core.hostile_keras import HONEST, file, stored

KERNEL = "layers/dense/vars/0"
MOST = 32 << 20  # bytes; the bomb is a gibibyte
OPENED = 0x20  # IN_OPEN of inotify
Write = Callable[[h5py.File, Path, Path], None]


class Watch:
    """Whether anybody opens ``path``, in whichever library."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._notices = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._notices, str(path).encode(), OPENED) >= 0

    def opened(self) -> bool:
        try:
            return struct.unpack_from("iI", os.read(self._notices, 4096))[1] == OPENED
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._notices)


def _virtual(made: h5py.File, source: Any) -> None:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = source
    made.create_virtual_dataset(KERNEL, layout)


def _within(made: h5py.File, second: Path, raw: Path) -> None:
    made["data"] = np.ones((3, 2), np.float32)
    _virtual(made, h5py.VirtualSource(".", "data", (3, 2)))


def _bomb(made: h5py.File, second: Path, raw: Path) -> None:
    """1 GiB of zeros in chunks that are really stored, some kilobytes each."""
    side, parts = 1 << 10, 16
    array = made.create_dataset(KERNEL, (side * parts, side * parts), np.float32, chunks=(side, side), compression=9)
    chunk = zlib.compress(bytes(4 * side * side), 9)
    for row in range(parts):
        for column in range(parts):
            array.id.write_direct_chunk((row * side, column * side), chunk)


def _references(made: h5py.File, second: Path, raw: Path) -> None:
    data = made.create_dataset("data", data=np.ones((3, 2), np.float32))
    made.create_dataset(KERNEL, (3, 2), h5py.ref_dtype)[:] = data.ref


ELSEWHERE: dict[str, Write] = {
    "an array in another file": lambda made, second, raw: made.update({KERNEL: h5py.ExternalLink(second, KERNEL)}),
    "a layer in another file": lambda made, second, raw: made.update(
        {"layers/dense": h5py.ExternalLink(second, "layers/dense")}
    ),
    "all layers in another file": lambda made, second, raw: made.update(
        {"layers": h5py.ExternalLink(second, "layers")}
    ),
    "an array at another place": lambda made, second, raw: made.update(
        {"data": np.ones((3, 2), np.float32), KERNEL: h5py.SoftLink("/data")}
    ),
    "a layer at another place": lambda made, second, raw: made.update(
        {"data/vars/0": np.ones((3, 2), np.float32), "data/vars/1": np.ones(2, np.float32),
         "layers/dense": h5py.SoftLink("/data")}
    ),
    "numbers in another file": lambda made, second, raw: made.create_dataset(
        KERNEL, (3, 2), np.float32, external=[(raw, 0, 24)]
    ),
    "a view of another file": lambda made, second, raw: _virtual(made, h5py.VirtualSource(second, KERNEL, (3, 2))),
    "a view of this file": _within,
    "a bomb": _bomb,
    "references": _references,
}  # fmt: skip


@pytest.fixture
def second(tmp_path: Path) -> Path:
    path = tmp_path / "second.h5"
    path.write_bytes(stored())
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.bin"
    path.write_bytes(np.ones(6, np.float32).tobytes())
    return path


def with_weights(write: Write, second: Path, raw: Path) -> bytes:
    """A network whose weights are as ``write`` has them; what is missing then is honest."""
    path = second.with_name("first.h5")
    with h5py.File(path, "w") as made:
        write(made, second, raw)
        if (
            type(made.get("layers", getlink=True)) is h5py.HardLink
            and type(made.get("layers/dense", getlink=True)) is h5py.HardLink
        ):
            made["layers/dense/vars/1"] = np.ones(2, np.float32)
    return file(HONEST, path.read_bytes())


def test_whoever_followed_a_link_would_be_seen(second: Path, raw: Path, tmp_path: Path) -> None:
    watch = Watch(second)
    assert not watch.opened()
    with h5py.File(tmp_path / "link.h5", "w") as made:
        ELSEWHERE["a layer in another file"](made, second, raw)
        assert made[KERNEL].shape == (3, 2)
    assert watch.opened()
    watch.close()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_nothing_outside_the_file_is_read_and_nothing_that_it_does_not_store(
    name: str, second: Path, raw: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(with_weights(ELSEWHERE[name], second, raw))
    watches = [Watch(second), Watch(raw)]
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            read_keras(path, "net.keras")
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert not any(watch.opened() for watch in watches)
    for watch in watches:
        watch.close()


@pytest.mark.parametrize("name", ["an array in another file", "a layer within itself"])
def test_what_no_layer_reads_is_not_followed_either_when_the_file_goes_home(
    name: str, second: Path, tmp_path: Path
) -> None:
    def beside(made: h5py.File) -> None:
        made.create_group("layers/unused")
        made["layers/unused/more"] = h5py.ExternalLink(second, "layers") if "file" in name else made["layers/unused"]

    path = tmp_path / "net.keras"
    path.write_bytes(file(HONEST, stored(beside)))
    loaded = import_model(path, "net.keras", tmp_path)
    watch = Watch(second)
    with pytest.raises(UserError, match=r"were not followed|are damaged"):
        export_keras(loaded, tmp_path)
    assert not watch.opened()
    watch.close()
