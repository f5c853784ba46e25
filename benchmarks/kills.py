"""A server killed with -9 at random moments, again and again: is anything lost, and is the result another one?

    python -m benchmarks.kills [--kills 50] [--seed 0]

Each round is a fine-tuning and a sweep of the digits demo, run in a server that is killed at a random moment after it
has begun, and started again on the same data directory until both are done. What they give, weights to the bit and
every cell, is compared with the same runs left in peace. On the CPU, one thread.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pruning_core.datasets import DIGITS
from pruning_core.measuring.measures import Cell
from pruning_core.runs.events import Artifact
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS

ROOT = Path(__file__).parents[1]
LONGEST_S = 6.0  # after the server has begun, at the latest, it is killed


def runs(number: int) -> tuple[RunSpec, ...]:
    """What is run in a round."""
    tuned = FineTuneRun(DEMOS[0].ref, DIGITS, FineTune(epochs=12, seed=number, device="cpu"))
    swept = SensitivityRun(DEMOS[0].ref, replace(DIGITS, split="held-out"), images=200 + number)
    return tuned, swept


def serve(root: Path, number: int) -> None:
    """A server that ends when both runs have."""
    from pruning_core.apart import household

    jobs = Jobs(Workspace(root), PRODUCT, threads=1, elsewhere=household.elsewhere())
    ids = [jobs.submit(spec, "ann") for spec in runs(number)]
    print("begun", flush=True)
    for job_id in ids:
        assert jobs.wait(job_id).state is State.DONE, jobs.snapshot(job_id).error
    jobs.close()


def server(root: Path, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.kills", "--serve", str(root), "--round", str(number)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def result(view: JobView) -> object:
    """What must not depend on interruptions: weights by the hash of their bytes, and the last word on every cell.

    How long a cell took, and which of its images were counted in an earlier attempt, may.
    """
    cells = {(each.group, each.ratio): replace(each, seconds=0.0, skipped=0) for each in view.all(Cell)}
    return sorted(each.digest for each in view.all(Artifact)), cells


def results(root: Path, number: int) -> list[tuple[State, object]]:
    jobs = Jobs(Workspace(root), PRODUCT, threads=1)
    views = [jobs.find(spec) for spec in runs(number)]
    jobs.close()
    return [(view.state, result(view)) for view in views if view is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve, chosen.round)
        return
    dice, kills, number = random.Random(chosen.seed), 0, 0
    while kills < chosen.kills:
        with TemporaryDirectory() as disturbed, TemporaryDirectory() as in_peace:
            before = kills
            while True:
                process = server(Path(disturbed), number)
                assert process.stdout is not None and process.stdout.readline().strip() == "begun"
                if kills < chosen.kills:
                    time.sleep(dice.uniform(0.0, LONGEST_S))
                else:
                    process.wait()
                if process.poll() is not None:
                    assert process.returncode == 0
                    break
                process.kill()
                process.wait()
                kills += 1
            assert server(Path(in_peace), number).wait() == 0
            same = results(Path(disturbed), number) == results(Path(in_peace), number)
            print(f"round {number}: {kills - before} kills, {'identical' if same else 'DIFFERENT'}", flush=True)
            assert same
            number += 1
    print(f"{kills} kills, nothing lost, every result identical")


if __name__ == "__main__":
    main()
