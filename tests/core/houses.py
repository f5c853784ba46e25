"""Children for tests, and the file of a stranger that they open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pruning_core.isolation.children import Children
from tests.core.upload_files import exported, network


@contextmanager
def house_of(table: str) -> Iterator[Children]:
    """A fork server of the tasks that the module ``table`` serves."""
    made = Children(table)
    made.start()
    try:
        yield made
    finally:
        made.close()


def small_program() -> bytes:
    """A .pt2 file of a small network for digits, for any number of images."""
    return exported(network(), torch.zeros(2, 1, 8, 8)).getvalue()
