"""Failed and cancelled runs leave nothing behind: the quick form of `python -m benchmarks.reliability memory`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.reliability import grown


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_failed_and_cancelled_runs_leave_memory_threads_and_files_as_they_were(tmp_path: Path) -> None:
    before, after = grown(15, tmp_path)
    assert after.memory_bytes < 1.05 * before.memory_bytes
    assert after.threads == before.threads and after.files == before.files
