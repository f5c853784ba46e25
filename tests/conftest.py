"""Every test has a data directory of its own."""

import os
import sys
from pathlib import Path

import pytest

# Before torch is imported: threads that wait by spinning collapse when other work wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: a second thread would only wait for its turn
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # so that a bare `pytest` finds the packages too
    sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def data_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PRUNESCOPE_DATA for the test: nothing it does reaches the user's own directory."""
    directory = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("PRUNESCOPE_DATA", str(directory))
    return directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests come last: Playwright leaves an event loop running in the main thread until the end."""
    items.sort(key=lambda item: "browser" in item.path.relative_to(ROOT).parts)
