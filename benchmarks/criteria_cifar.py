"""Every criterion on the CIFAR-10 demo: what it costs, and the accuracy at half the MACs before and after fine-tuning.

    python -m benchmarks.criteria_cifar --data FOLDER [--seeds 5] [--rows FILE] [--store FOLDER]

FOLDER holds cifar10_train.zip and cifar10_test.zip. One seed is one sample of images to score with, one draw of the
random control, one sample and order of images to fine-tune with, one sample of test images. All criteria remove by
the same uniform ratio and get the same fine-tuning, so they differ in *which* channels they keep alone. What was
measured is appended to FILE, so that a run goes on where another ended; the table is made of every full seed in it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import CRITERIA, Criterion, score
from pruning_core.criteria.control import Random
from pruning_core.datasets import DataRef, Dataset, hold_out, import_data, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.treatments import cut, recalibrated, tuned
from pruning_core.storage.workspace import Workspace
from pruning_core.training.config import FineTune
from pruning_core.work import finished
from pruning_core.zoo import load_model
from pruning_core.zoo.demos import demo

RESULT = Path(__file__).parent / "results" / "criteria_cifar.md"
SUBJECT = "cifar_resnet20"
MACS = 0.5
SCORE_IMAGES, TUNE_IMAGES, TEST_IMAGES, CALIBRATION = 128, 2560, 1000, 512
TUNE = FineTune(epochs=1, lr=0.01, batch_size=64, augment="shift and flip", device="cpu")
NONE = "nothing removed"
MOMENTS = ("pruned", "recalibrated", "tuned")


@dataclass(frozen=True)
class Parts:
    fit: Dataset
    held_out: Dataset
    test: Dataset


def parts(folder: Path, store: Path) -> Parts:
    """The images that the demo was trained, held out and tested on; read once into ``store``, which takes minutes."""
    train, test = (folder / f"cifar10_{part}.zip" for part in ("train", "test"))
    known = store / "cifar.json"
    if not known.exists():
        known.write_text(import_data(train, train.name, store, test_file=test).to_json())
    ref = DataRef.from_json(known.read_text())
    whole, test_part = load_splits(ref, store)
    fit, held_out = hold_out(whole, ref)
    return Parts(fit, held_out, test_part)


def rows(model: nn.Module, data: Parts, seed: int, known: set[str]) -> Iterator[dict[str, Any]]:
    """One row per criterion; the unpruned network with the same training first."""
    network = capture(model, data.fit.normalised(data.fit.images[:1]))
    fit, held_out = data.fit.subset(TUNE_IMAGES, seed), data.held_out.subset(64, seed)
    test = data.test.subset(TEST_IMAGES, seed)
    tune = replace(TUNE, seed=seed)

    def measured(pruned: nn.Module) -> Iterator[tuple[str, float]]:
        yield "pruned", evaluate(pruned, test).top1
        again = finished(recalibrated(pruned, fit, CALIBRATION, seed, "cpu"))
        yield "recalibrated", evaluate(again, test).top1
        trained = finished(tuned(pruned, fit, held_out, test.subset(64), tune))
        yield "tuned", evaluate(trained, test).top1

    if NONE not in known:
        yield {"criterion": NONE, "seed": seed, "seconds": 0.0, "share": 1.0, **dict(measured(model))}
    for kind in CRITERIA:
        criterion: Criterion = Random(seed=seed) if kind is Random else kind()
        name = kind.card.name  # without the seed that the random control was given
        if name in known:
            continue
        found = score(model, network, [criterion], fit, images=SCORE_IMAGES, seed=seed)[criterion]
        row: dict[str, Any] = {"criterion": name, "seed": seed, "seconds": found.seconds}
        try:
            plan = allocate(Uniform(), Pool.of(network, found.values), Budget("macs", fraction=MACS)).plan
        except UserError as error:
            yield row | {"refused": str(error)}
            continue
        share = network.cost(plan).macs / network.cost(Plan()).macs
        pruned = finished(cut(model, network, plan, criterion, fit, SCORE_IMAGES))
        yield row | {"share": share, **dict(measured(pruned))}


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation over the seeds, in per cent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def table(found: list[dict[str, Any]]) -> list[str]:
    """Ordered by the accuracy after fine-tuning; only seeds in which everything was measured count."""
    per: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        per.setdefault(row["criterion"], []).append(row)
    seeds = min(len(group) for group in per.values())
    lines = [
        f"| criterion | seconds on {SCORE_IMAGES} images | MACs left | pruned (%) | batch norm recalibrated (%) | "
        "fine-tuned (%) | fine-tuned, less random's (points, paired) |",
        "|---|---|---|---|---|---|---|",
    ]
    control = {row["seed"]: row for row in per[Random.card.name]}
    order = sorted(per, key=lambda name: -statistics.mean(row.get("tuned", 0.0) for row in per[name]))
    for name in order:
        group = sorted(per[name], key=lambda row: row["seed"])[:seeds]
        if "refused" in group[0]:
            lines.append(f"| {name} | {group[0]['seconds']:.2f} | {group[0]['refused']} | | | | |")
            continue
        ahead = [100 * (row["tuned"] - control[row["seed"]]["tuned"]) for row in group]
        error = statistics.stdev(ahead) / len(ahead) ** 0.5 if len(ahead) > 1 else float("nan")
        moments = " | ".join(spread([row[moment] for row in group]) for moment in MOMENTS)
        cost = "–" if name == NONE else f"{statistics.median(row['seconds'] for row in group):.2f}"
        against = "–" if name in (NONE, Random.card.name) else f"{statistics.mean(ahead):+.1f} (s.e. {error:.1f})"
        lines.append(f"| {name} | {cost} | {100 * group[0]['share']:.1f} % | {moments} | {against} |")
    return [f"Seeds: {seeds}.", "", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=Path, default=Path("data/criteria_cifar.jsonl"))
    parser.add_argument("--store", type=Path, default=Path("data"), help="where the images are kept once read")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = [json.loads(line) for line in chosen.rows.read_text().splitlines()] if chosen.rows.exists() else []
    chosen.store.mkdir(parents=True, exist_ok=True)
    data = parts(chosen.data, chosen.store)
    loaded = load_model(demo(SUBJECT).ref, Workspace(chosen.store))
    for seed in range(chosen.seeds):
        known = {row["criterion"] for row in found if row["seed"] == seed}
        for row in rows(loaded.model, data, seed, known):
            found.append(row)
            print(json.dumps(row), flush=True)
            with chosen.rows.open("a") as out:
                out.write(json.dumps(row) + "\n")
    RESULT.write_text(
        "\n".join(
            [
                f"{demo(SUBJECT).title}, {100 * MACS:.0f} % of the MACs, the same ratio in every layer; "
                f"{datetime.date.today().isoformat()}, torch {torch.__version__}, one thread. Mean ± standard "
                f"deviation over seeds, top-1 on {TEST_IMAGES:,} test images, other ones for each seed, the "
                "same for all criteria; the last column compares on the same images, with its standard error.",
                f"Fine-tuning: {TUNE.epochs} epoch over {TUNE_IMAGES:,} training images, SGD at {TUNE.lr}, the same "
                "for every network and for the unpruned one. Seconds: median over the seeds, on a shared machine.",
                "",
                *table(found),
            ]
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
