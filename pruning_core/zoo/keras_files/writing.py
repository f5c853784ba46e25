"""A ``.keras`` file with other sizes and numbers: as Keras itself writes it, which is not needed for it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from pruning_core.zoo.keras_files.archive import CONFIG, METADATA, WEIGHTS
from pruning_core.zoo.keras_files.numbered import Left
from pruning_core.zoo.keras_files.weights import Weights

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same network is the same file


def weights_file(weights: Weights, left: Mapping[str, Left]) -> bytes:
    """The arrays of ``weights``, with what is ``left`` of those that a cut or a training has changed (HDF5)."""
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as made:
        for path, array in weights.every():
            new = left.get(path)
            made.create_dataset(path, data=array if new is None else _as(new.values, array.dtype))
    return out.getvalue()


def _as(values: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    """In the file's own precision, where that is no less than the network has here."""
    return values.astype(kind) if kind.itemsize >= values.dtype.itemsize else values


def archive(said: str, weights: bytes, version: str) -> bytes:
    """The file of a network that the JSON text ``said`` describes, as Keras ``version`` writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in (
            (METADATA, json.dumps({"keras_version": version}).encode()),
            (CONFIG, said.encode()),
            (WEIGHTS, weights),
        ):
            made.writestr(zipfile.ZipInfo(name, LONG_AGO), data)
    return out.getvalue()
