"""Zip files of images: what in one says how they are labelled, and who reads it then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from pruning_core.datasets import coco, folder, listed_labels, partners, sounds, zip_names
from pruning_core.datasets.opened import named
from pruning_core.datasets.paired import pairs_in
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.safe_zip import open_zip
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, artifacts


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """The images of one stored zip, or of two when ``ref.test_digest`` names a second one with the test images."""
    store = artifacts(root)
    test = store.path(ref.test_digest) if ref.test_digest else None
    return read_file(store.path(ref.digest), ref.name, ref.size, progress, test=test, code_page=ref.code_page,
                     rate=ref.rate, samples=ref.samples, task=ref.task)  # fmt: skip


def read_file(
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    progress: Progress,
    *,
    test: Path | None = None,
    code_page: str | None = None,
    rate: int = 0,
    samples: int = 0,
    task: str = "",
) -> Raw:
    """Decode every image of the zip at ``path``, together with those of ``test``, a second one with test images.

    size: (H, W), or None as in ``pictures``. code_page: of names that do not say theirs. rate, samples: of
    recordings, which a zip may hold instead of images. task: what a
    list or annotations beside the images are read as. Raises UserError when an
    archive is unsafe, what it says of its images does not fit together, or an image does not decode.
    """
    files = (path,) if test is None else (path, test)
    with ExitStack() as stack:
        opened = [named(stack.enter_context(open_zip(file, name)), name, code_page) for file in files]
        if sounds.are_in(opened[0].names):
            return sounds.read(opened, rate, samples, progress)
        first = opened[0]
        pairs = pairs_in(first.names, name)
        if pairs is not None:
            if test is not None:
                raise UserError(
                    "A second zip goes with class folders only. Put the folders train and test, with images and their "
                    f"{pairs.plural} in each, into one zip."
                )
            return partners.read(first, pairs, size, progress)
        if test is None:
            annotations = coco.json_in(first.names)
            found = annotations is not None and coco.read(first, annotations, size, task, progress)
            if found:
                return found
            listed = listed_labels.list_in(first.names)
            if listed is not None:
                return listed_labels.read(first, listed, size, task, progress)
        return folder.read(opened, size, progress)


def boxed(ref: DataRef, root: Root | None, count: int) -> list[tuple[Image.Image, tuple[coco.Thing, ...]]]:
    """The first ``count`` pictures of a stored zip that have annotations, and these; [] where it has none.

    Raises UserError.
    """
    with open_zip(artifacts(root).path(ref.digest), ref.name) as opened:
        found = named(opened, ref.name, ref.code_page)
        at = coco.json_in(found.names)
        return [] if at is None else coco.boxed(found, at, count)


def code_pages(ref: DataRef, root: Root | None) -> list[str]:
    """In which code pages the names of a stored zip can be read, the likeliest first. Raises UserError."""
    with open_zip(artifacts(root).path(ref.digest), ref.name) as opened:
        return zip_names.candidates(opened.infolist())
