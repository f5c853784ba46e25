"""Every test has a data directory of its own."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # so that a bare `pytest` finds the packages too
    sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def data_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PRUNESCOPE_DATA for the test: nothing it does reaches the user's own directory."""
    directory = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("PRUNESCOPE_DATA", str(directory))
    return directory
