"""Texts that lie in the repository: windows of the help that comes with Python, character by character.

Copyright 2001-2023 Python Software Foundation, under the PSF License Agreement. ``tools/text_sample.py`` draws them;
the provenance stands beside the file.
"""

from __future__ import annotations

import json
from functools import lru_cache

from pruning_core.datasets import npz
from pruning_core.datasets.raw import Progress, Raw, quiet
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.sample import ASSETS
from pruning_core.storage.uploads import Root

PATH = ASSETS / "python_help.npz"
TEXT_SAMPLE = DataRef("sample", "Python's help")


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """Windows (N, T) of characters, each labelled with the one that follows it; testing topics are none of training."""
    return _decoded()


@lru_cache(maxsize=1)
def _decoded() -> Raw:
    return npz.read_file(PATH, TEXT_SAMPLE.name, quiet)


def characters() -> tuple[str, ...]:
    """What the numbers stand for."""
    return tuple(json.loads(PATH.with_suffix(".json").read_text(encoding="utf-8"))["characters"])
