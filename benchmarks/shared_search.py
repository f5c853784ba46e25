"""One search by several processes with its trials in one database, whatever SQLAlchemy reaches: are they all there?

    pip install "psycopg[binary]"       # PostgreSQL's driver, no requirement of ours; PyMySQL for MySQL and MariaDB
    python -m benchmarks.shared_search postgresql+psycopg://user:password@host/database [--processes 2] [--trials 12]

Each process has a data directory of its own and runs the same small search; it says how many trials it made and which
it knows in the end. Exits with 1 where they do not agree, or are more or fewer than were asked for.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import make_url

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.sampled import Tpe
from pruning_core.allocation.search import Search
from pruning_core.datasets import DIGITS
from pruning_core.methods.recoveries import JustCut
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.search import STORAGE, Contest, SearchRun
from pruning_core.studies.tried import Tried
from pruning_core.zoo import DEMOS


def searched(url: str, home: Path, trials: int, seed: int) -> tuple[int, dict[int, float]]:
    """How many trials this process made, and the accuracies of all, by number."""
    os.environ[STORAGE] = url
    made, judged = 0, Contest.judged

    def counted(self, plan):  # type: ignore[no-untyped-def]
        nonlocal made
        made += 1
        return (yield from judged(self, plan))

    Contest.judged = counted  # type: ignore[method-assign]
    spec = SearchRun(
        DEMOS[0].ref, DIGITS, search=Search(Tpe(startup=4), trials=trials, seed=seed), images=150,
        budgets=(Budget("macs", fraction=0.5),), recovery=JustCut(), control=False, device="cpu",
    )  # fmt: skip
    events = [event.trial for event in spec.run(Workspace(home)) if isinstance(event, Tried)]
    return made, {trial.number: trial.accuracy for trial in events}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="as SQLAlchemy writes it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--trials", type=int, default=12)
    asked = parser.parse_args()
    seed, began = secrets.randbelow(1 << 31), time.perf_counter()  # a search that nobody has made yet
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool,
    ):
        homes = [Path(folder) / str(number) for number in range(asked.processes)]
        given = [pool.submit(searched, asked.url, home, asked.trials, seed) for home in homes]
        found = [each.result() for each in given]
    made, known = [each for each, _ in found], [each for _, each in found]
    print(f"{make_url(asked.url).drivername}: {' + '.join(map(str, made))} trials made in {asked.processes} processes")
    print(f"known in the end: {', '.join(str(len(each)) for each in known)}; {time.perf_counter() - began:.0f} s")
    right = sum(made) == asked.trials and all(each == known[0] and len(each) == asked.trials for each in known)
    print("all agree" if right else "THEY DO NOT AGREE", known if not right else "")
    sys.exit(not right)


if __name__ == "__main__":
    main()
