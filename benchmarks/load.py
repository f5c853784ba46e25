"""Many visitors at once, on a real server: how long a click takes, what goes wrong, what memory does.

    python -m benchmarks.load --visitors 20 --minutes 10

Each visitor is a web socket that speaks as a browser does (`tools/visitor.py`) and draws nothing: what Chromium itself
would take of this machine is not in the figures; with `--browsers` it is. Everybody opens What-if, starts a sweep of
the small demo of their own on Sensitivity, and moves the slider over all groups about once a second; in the end every
sweep must be done.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks import load_browsers, visits
from benchmarks.visits import Seen
from tools.visitor import Visitor

ROOT = Path(__file__).parents[1]
START_S = 180.0
MORE_S = 300.0  # for sweeps that wait after the last click


@contextlib.contextmanager
def server(folder: Path, *options: str, app: str = "app.py") -> Iterator[tuple[str, int]]:
    """(address, process number) of a server of its own, of ``app`` in this project; ``options``: of streamlit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PRUNESCOPE_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "streamlit", "run", app, f"--server.port={port}", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address, deadline = f"http://localhost:{port}", time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/_stcore/health").status_code == 200:
                break
        time.sleep(0.5)
    try:
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def memory_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def sweeps(folder: Path) -> list[tuple[str, int]]:
    """(state, events) of each."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "prunescope.sqlite")) as rows:
        return rows.execute(
            "SELECT state, (SELECT COUNT(*) FROM events WHERE job_id = id) FROM jobs WHERE kind = 'sensitivity'"
        ).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--browsers", action="store_true", help="real ones: Chromium, on this machine")
    chosen = parser.parse_args()
    seen, at = Seen(), []
    with TemporaryDirectory() as name, server(Path(name)) as (address, pid):
        with Visitor(address) as first:
            first.open("whatif")  # torch is loaded
        at.append(memory_mib(pid))
        until = time.monotonic() + 60 * chosen.minutes
        ways = load_browsers if chosen.browsers else visits
        with ThreadPoolExecutor(1) as beside:
            crowd = beside.submit(ways.crowd, address, chosen.visitors, until, seen)
            time.sleep(max(0.0, until - time.monotonic()) / 2)
            at.append(memory_mib(pid))
            crowd.result()
        at.append(memory_mib(pid))
        deadline = time.monotonic() + MORE_S
        while any(state in ("queued", "running") for state, _ in sweeps(Path(name))) and time.monotonic() < deadline:
            time.sleep(1)
        ended = sweeps(Path(name))
        if seen.errors:
            print("the end of the server's log:", (Path(name) / "log").read_text("utf-8", "replace")[-5000:], sep="\n")
    ninth = statistics.quantiles(seen.clicks_s, n=10)[-1] if len(seen.clicks_s) > 1 else float("nan")
    middle = statistics.median(seen.clicks_s) if seen.clicks_s else float("nan")
    kind = "browsers" if chosen.browsers else "visitors"
    print(f"{chosen.visitors} {kind}, {chosen.minutes:g} minutes, load {os.getloadavg()[0]:.1f}")
    print(f"{len(seen.clicks_s)} clicks: median {middle:.2f} s, nine of ten within {ninth:.2f} s")
    print(f"{len(seen.errors)} errors", *dict.fromkeys(seen.errors), sep="\n  ")
    print(f"server's memory {' -> '.join(f'{each:.0f}' for each in at)} MiB (warm, half way, end)")
    done = [events for state, events in ended if state == "done"]
    print(f"{len(done)} of {len(ended)} sweeps done, with {min(done, default=0)} events or more each")


if __name__ == "__main__":
    main()
