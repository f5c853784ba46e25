"""scikit-learn's handwritten digits: bundled with the library, so the default works offline."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.storage.uploads import Root


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """1,797 grey images of 8 x 8 pixels, ten classes.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998 (its test part).
    """
    table = _table()
    pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)  # grey levels 0..16 -> bytes
    return Raw(
        images=torch.from_numpy(pixels.reshape(-1, 1, 8, 8)),
        labels=torch.from_numpy(table[:, 64].astype(np.int64)),
        classes=tuple(str(digit) for digit in range(10)),
    )


def _table() -> np.ndarray:
    """(1797, 65): 64 grey levels and the digit.

    Read from the library's file where it lies where it always has: importing the library takes seconds, which the
    first page would have to wait for.
    """
    found = find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path) as file:
                return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bundle = load_digits()
    return np.column_stack([bundle.data, bundle.target])
