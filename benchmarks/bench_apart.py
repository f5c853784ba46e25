"""A job in a child beside the same job in a thread of the server: a sweep, a training, and the first event, in one run.

python -m benchmarks.bench_apart
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pruning_core.apart import household
from pruning_core.datasets import DIGITS
from pruning_core.runs.elsewhere import Elsewhere
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS

RESULT = Path(__file__).parent / "results" / "apart.md"
ROUNDS = 3
WORK: dict[str, RunSpec] = {
    "sweep of the digits demo": SensitivityRun(DEMOS[0].ref, DIGITS),
    "fine-tuning, 5 epochs": FineTuneRun(DEMOS[0].ref, DIGITS, FineTune(epochs=5, device="cpu")),
}


@dataclass(frozen=True)
class Took:
    """Seconds until the first event was stored and until the job was done, and how many events there were."""

    first: float
    whole: float
    events: int


def took(spec: RunSpec, where: Elsewhere | None) -> Took:
    """One job in a data directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Workspace(Path(folder)), PRODUCT, elsewhere=where)
        began = time.perf_counter()
        job = jobs.submit(spec, "the benchmark")
        while not jobs.snapshot(job).count:
            time.sleep(0.001)
        first = time.perf_counter() - began
        view = jobs.wait(job, 600)
        whole = time.perf_counter() - began
        assert view.state is State.DONE, view.error
        jobs.close()
        return Took(first, whole, view.count)


def main() -> None:
    """Thread and child take turns, so that whatever else the machine does meets both."""
    where = household.elsewhere()
    assert where is not None, "there are no children on this system"
    where.children.start()
    while not where.children.ready:
        time.sleep(0.1)
    lines = ["| work | where | first event, s | whole, s | events a second |", "|---|---|---|---|---|"]
    for name, spec in WORK.items():
        found: dict[str, list[Took]] = {"thread": [], "child": []}
        for number in range(ROUNDS + 1):
            for place, each in (("thread", None), ("child", where)):
                measured = took(spec, each)
                if number:  # the first round compiles and fills caches
                    found[place].append(measured)
        for place, rounds in found.items():
            first, whole = median(each.first for each in rounds), median(each.whole for each in rounds)
            speed = median(each.events / each.whole for each in rounds)
            lines.append(f"| {name} | {place} | {first:.2f} | {whole:.2f} | {speed:.0f} |")
    text = "\n".join(lines)
    RESULT.write_text(
        f"# A job in a child beside the same in a thread\n\nMedian of {ROUNDS} rounds in turns.\n\n{text}\n"
    )
    print(text)


if __name__ == "__main__":
    main()
