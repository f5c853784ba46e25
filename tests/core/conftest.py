"""What the tests of the core share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pruning_core.datasets import DIGITS, Dataset, hold_out, load_splits
from pruning_core.storage import Workspace


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks gain nothing from a second thread, and on a busy machine two of them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A data directory with nothing in it."""
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def digits() -> tuple[Dataset, Dataset, Dataset]:
    """(fit, held-out, test)"""
    train, test = load_splits(DIGITS)
    fit, held_out = hold_out(train, DIGITS)
    return fit, held_out, test
