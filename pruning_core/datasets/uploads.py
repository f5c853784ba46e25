"""Data that a person brings: judged, stored by content, and named by a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from pruning_core.datasets import tables
from pruning_core.datasets.load import load_splits
from pruning_core.datasets.raw import Progress, quiet
from pruning_core.datasets.ref import DataRef, Source
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, keeping

SUFFIXES: dict[str, Source] = {".npz": "npz", ".zip": "folder", **dict.fromkeys(tables.KINDS, "table")}


def import_data(
    file: Path | BinaryIO,
    name: str,
    root: Root,
    test_file: Path | BinaryIO | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = quiet,
    **chosen: Any,
) -> DataRef:
    """Store an uploaded ``.npz``, ``.zip`` or table and return its reference, once it was read to the end.

    test_file: a second zip with the test images. size: (H, W) in pixels, or None to keep the images' own. chosen:
    other fields of the reference, such as the target of a table.
    Raises UserError when the file is of another kind or anything in it is unusable; it is not kept then.
    """
    source = SUFFIXES.get(Path(name).suffix.lower())
    if source is None:
        kinds = ", ".join(SUFFIXES)
        raise UserError(f"{name!r} is none of {kinds}. Send NumPy arrays, a zip with one folder per class, or a table.")
    if test_file is not None and source != "folder":
        raise UserError("A second file goes with image folders only. Put test_images and test_labels into the .npz.")
    files = (file,) if test_file is None else (file, test_file)
    with keeping(root, *files) as (digest, *more):
        ref = DataRef(source, Path(name).name, digest=digest, test_digest=more[0] if more else "", size=size,
                      **chosen)  # fmt: skip
        load_splits(ref, root, progress)
    return ref
