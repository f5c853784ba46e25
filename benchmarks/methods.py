"""Every method of the registry on the digits demo, under one budget and one length of training: a table.

    python -m benchmarks.methods [--epochs 8] [--seeds 3] [--only KEY ...] [--rows FILE]     (make methods)

Beside them the same training after a cut by chance, as the random control; the scratch controls stand in the registry.
A method whose network cannot come down to the budget says so in its row. Every accuracy is that of the 450 test images
of the demo; weights are chosen on held-out ones. A seed draws the images that are scored, chance, and the order of
training. Measured rows are appended to FILE, so that a run goes on where another ended.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pruning_core.allocation.budget import Budget
from pruning_core.criteria import Random
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.methods.base import Method, Outcome
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.registry import METHODS
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import Standing, Treated
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS

RESULT = Path(__file__).parent / "results" / "methods.md"
SHARE, LESS = 0.5, 0.65
CHANCE = "random control"
HEAD = (
    "| method | family | ends in | MACs left | parameters left | size | right after | in the end | "
    "against random | latency | seconds |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
SHORT = {
    Outcome.SMALLER: "smaller", Outcome.SPARSE: "sparse", Outcome.REGROUPED: "grouped", Outcome.SHALLOWER: "shallower",
    Outcome.DYNAMIC: "dynamic",
}  # fmt: skip


def entries(seed: int) -> dict[str, Method]:
    """By key: the random control first, so that the others can be held against it."""
    found: dict[str, Method] = {CHANCE: CutAndTrain(criterion=Random(seed=seed))}
    return found | {method.card.key: method() for method in METHODS}


def row(key: str, method: Method, config: FineTune, workspace: Workspace) -> dict[str, Any]:
    """What came of one method, or why nothing did. A budget out of reach is tried once more, less strict."""
    for share in (SHARE, LESS):
        began = time.perf_counter()
        spec = MethodRun(DEMOS[0].ref, DIGITS, method, Budget("macs", fraction=share), config)
        try:
            events = list(spec.run(workspace))
        except UserError as error:
            why = str(error)
            continue
        (end,) = [event for event in events if isinstance(event, Treated)]
        return described(key, method, end, time.perf_counter() - began)
    return {"key": key, "name": method.card.name, "family": method.card.family, "why": why}


def described(key: str, method: Method, end: Treated, seconds: float) -> dict[str, Any]:
    macs, parameters, size = left(end.after)
    full = end.before.cost
    return {
        "key": key,
        "name": method.card.name if key != CHANCE else "Cut by chance, then train",
        "family": method.card.family if key != CHANCE else "control",
        "ends": SHORT[method.outcome],
        "macs": macs / full.macs,
        "parameters": parameters / full.parameters,
        "bytes": size,
        "before": end.before.accuracy.top1,
        "cut": end.cut.top1 if end.cut else None,
        "after": end.after.accuracy.top1,
        "low": end.after.accuracy.low,
        "high": end.after.accuracy.high,
        "latency": end.after.latency.median_ms,
        "was": end.before.latency.median_ms,
        "seconds": seconds,
    }


def left(standing: Standing) -> tuple[float, float, int]:
    """MACs, parameters and bytes; of zeros those that skipping them would leave, of gates those of an average image."""
    if standing.average is not None:
        return standing.average.mean, standing.cost.parameters, standing.cost.size_bytes
    if standing.sparsity is not None:
        return standing.sparsity.macs, standing.sparsity.parameters, standing.sparsity.bitmask
    return standing.cost.macs, standing.cost.parameters, standing.cost.size_bytes


def line(runs: list[dict[str, Any]], chance: float | None) -> str:
    """One method, over its seeds."""
    first = runs[0]
    if "why" in first:
        return f"| {first['name']} | {first['family']} | {first['why']} |" + " |" * 8

    def mean(name: str) -> float:
        return statistics.fmean(each[name] for each in runs)

    after = [100 * each["after"] for each in runs]
    spread = f" ± {statistics.stdev(after):.1f}" if len(after) > 1 else ""
    against = "" if chance is None or first["key"] == CHANCE else f"{statistics.fmean(after) - 100 * chance:+.1f}"
    cut = "" if first["cut"] is None else f"{100 * mean('cut'):.1f}"
    return (
        f"| {first['name']} | {first['family']} | {first['ends']} | {100 * mean('macs'):.0f} % "
        f"| {100 * mean('parameters'):.0f} % | {mean('bytes') / 1000:.0f} kB | {cut} "
        f"| {statistics.fmean(after):.1f}{spread} | {against} | {mean('latency') / mean('was'):.2f} "
        f"| {mean('seconds'):.0f} |"
    )


def table(rows: list[dict[str, Any]], epochs: int) -> str:
    runs: dict[str, list[dict[str, Any]]] = {}
    for each in rows:
        runs.setdefault(each["key"], []).append(each)
    measured = [each for each in rows if "after" in each]
    chance = [each["after"] for each in measured if each["key"] == CHANCE]
    return "\n".join(
        [
            "# Every method on the digits demo",
            "",
            f"`python -m benchmarks.methods`, {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at the end; "
            f"{sum(each['seconds'] for each in measured) / 60:.0f} minutes for all. ResNet on digits "
            f"({100 * measured[0]['before']:.1f} % before), at most {100 * SHARE:.0f} % of the MACs ({100 * LESS:.0f} "
            f"% where that is out of reach), {epochs} epochs in all for each, "
            f"{max(map(len, runs.values()))} seeds (mean ± standard deviation), 450 test images: a point is four or "
            "five of them. *Latency* is that of one image as a multiple of the unpruned network's.",
            "",
            "*MACs* and *parameters* of sparse networks count what is not zero, and their *size* is that of a bit mask "
            "and the other values; those of dynamic ones are what an average test image needed. Ordinary kernels "
            "multiply by zeros and behind closed gates too, and the latency says so. Every method is "
            "scaled down from its paper, as its card on the Methods page says: this table shows that each runs and "
            "ends where it says it does, and not which is best.",
            "",
            *HEAD,
            *(line(each, statistics.fmean(chance) if chance else None) for each in runs.values()),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--rows", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if asked.rows and asked.rows.exists():
        rows = [json.loads(text) for text in asked.rows.read_text().splitlines()]
    with TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            for key, method in entries(seed).items():
                known = any((each["key"], each["seed"]) == (key, seed) for each in rows)
                if known or (asked.only and key not in asked.only):
                    continue
                config = FineTune(epochs=asked.epochs, seed=seed, device="cpu")
                rows.append(row(key, method, config, Workspace(Path(folder))) | {"seed": seed})
                print(line(rows[-1:], None), flush=True)
                if asked.rows:
                    with asked.rows.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    RESULT.write_text(table(rows, asked.epochs), encoding="utf-8")
    print(f"{RESULT.name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
