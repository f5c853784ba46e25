"""A server that nobody asks anything does nothing, and does not begin to because others use the same disk.

What counts is processor time, so a busy machine makes these tests slower, not wrong.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import ROOT, Server, settle

SHARE = 0.01  # of one core
WINDOW_S = 10
PATIENCE_S = 60  # of processor time that it may take to come to rest; warming up takes some twenty


def processor_seconds(pid: int) -> float:
    """All its threads, in user and system mode, since it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(pid: int) -> list[float]:
    """The share of a core used in each window, until one is small or there were too many that were not."""
    first, seen = processor_seconds(pid), [1.0]
    while seen[-1] >= SHARE and processor_seconds(pid) < first + PATIENCE_S:
        before, started = processor_seconds(pid), time.monotonic()
        time.sleep(WINDOW_S)
        seen.append((processor_seconds(pid) - before) / (time.monotonic() - started))
    return seen


def watched(pid: int) -> int:
    """How many files and folders the kernel reports changes of to this process."""
    return sum(path.read_text().count("inotify wd:") for path in Path(f"/proc/{pid}/fdinfo").iterdir())


def read_the_clone() -> int:
    """Open every file of it, as an installation, a backup or a search would; returns how many."""
    count = 0
    for folder, _, files in os.walk(ROOT):
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb"):
                    count += 1
            except OSError:
                pass  # gone meanwhile, or not ours
    return count


@pytest.mark.slow  # a minute of watching
def test_an_idle_server_rests(own_server: Server, page: Page) -> None:
    process = own_server.start().process
    assert process is not None
    alone = shares(process.pid)
    assert alone[-1] < SHARE, f"without a visitor: {alone}"

    page.goto(f"{own_server.url}/model")
    page.get_by_text("MACs").first.wait_for()
    settle(page)
    looked_at = shares(process.pid)
    assert looked_at[-1] < SHARE, f"with a page open: {looked_at}"

    assert read_the_clone() > 300
    disturbed = shares(process.pid)
    assert disturbed[-1] < SHARE, f"after somebody else read the clone: {disturbed}"
    assert watched(process.pid) == 0
