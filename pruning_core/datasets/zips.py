"""Zip files of images: what in one says how they are labelled, and who reads it then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pruning_core.datasets import folder, partners, sounds, zip_names
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
                     rate=ref.rate, samples=ref.samples)  # fmt: skip


def read_file(
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    progress: Progress,
    *,
    test: Path | None = None,
    code_page: str | None = None,
    rate: int = 16_000,
    samples: int = 16_000,
) -> Raw:
    """Decode every image of the zip at ``path``, together with those of ``test``, a second one with test images.

    size: (H, W), or None as in ``pictures``. code_page: of names that do not say theirs. rate, samples: of
    recordings, which a zip may hold instead of images. Raises UserError when an
    archive is unsafe, what it says of its images does not fit together, or an image does not decode.
    """
    files = (path,) if test is None else (path, test)
    with ExitStack() as stack:
        opened = [named(stack.enter_context(open_zip(file, name)), name, code_page) for file in files]
        if sounds.are_in(opened[0].names):
            return sounds.read(opened, rate, samples, progress)
        pairs = pairs_in(opened[0].names, name)
        if pairs is None:
            return folder.read(opened, size, progress)
        if test is not None:
            raise UserError(
                "A second zip goes with class folders only. Put the folders train and test, with images and their "
                f"{pairs.plural} in each, into one zip."
            )
        return partners.read(opened[0], pairs, size, progress)


def code_pages(ref: DataRef, root: Root | None) -> list[str]:
    """In which code pages the names of a stored zip can be read, the likeliest first. Raises UserError."""
    with open_zip(artifacts(root).path(ref.digest), ref.name) as opened:
        return zip_names.candidates(opened.infolist())
