"""Data that a person brings: judged, stored by content, and named by a reference."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pruning_core.datasets.load import load_splits
from pruning_core.datasets.raw import Progress, quiet
from pruning_core.datasets.ref import DataRef, Source
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, keeping

SUFFIXES: dict[str, Source] = {".npz": "npz", ".zip": "folder"}


def import_data(
    file: Path | BinaryIO,
    name: str,
    root: Root,
    test_file: Path | BinaryIO | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = quiet,
) -> DataRef:
    """Store an uploaded ``.npz`` or image-folder ``.zip`` and return its reference, once it was read to the end.

    test_file: a second zip with the test images. size: (H, W) in pixels, or None to keep the images' own.
    Raises UserError when the file is of another kind or anything in it is unusable; it is not kept then.
    """
    source = SUFFIXES.get(Path(name).suffix.lower())
    if source is None:
        raise UserError(f"{name!r} is neither .npz nor .zip. Send NumPy arrays or a zip with one folder per class.")
    if test_file is not None and source != "folder":
        raise UserError("A second file goes with image folders only. Put test_images and test_labels into the .npz.")
    files = (file,) if test_file is None else (file, test_file)
    with keeping(root, *files) as (digest, *more):
        ref = DataRef(source, Path(name).name, digest=digest, test_digest=more[0] if more else "", size=size)
        load_splits(ref, root, progress)
    return ref
