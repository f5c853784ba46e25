"""What recoveries bring after every kind of criterion, and after Torch-Pruning, at the same MACs, in one run.

    python -m benchmarks.bench_mending [--data FOLDER] [--only SUBJECT ...] [--seeds 3] [--no-epochs] [--rows FILE]
    python -m benchmarks.bench_mending --table [--rows FILE]

The digits demos need nothing else; for the CIFAR-10 demo FOLDER holds cifar10_train.zip and cifar10_test.zip, without
it that part is left out and said so. Every criterion removes by the same uniform ratio; all networks are measured on
the same test images. Mending and new statistics see images of the fitted part without their labels. One seed is one
draw of those images, of chance and of the epoch's order. Measured rows are appended to FILE, so that a run goes on
where another ended, and the table is made of all of them; with --table nothing else happens. Networks that
Torch-Pruning cut get new statistics and an epoch alone: our mending refits what a plan of ours leaves, which they have
none of. Seconds are of the processor: the machine may have other work.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from benchmarks.criteria_cifar import parts
from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import (
    ChannelSurgeon,
    ClusterPruning,
    Criterion,
    GeometricMedian,
    L1Norm,
    L2Norm,
    LassoReconstruction,
    Random,
    TaylorGate,
    score,
)
from pruning_core.datasets import Dataset, hold_out, load_splits
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.mending.together import batches
from pruning_core.methods.recoveries import Mending, NewStatistics, Recovery
from pruning_core.methods.treatments import recalibrated, tuned
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.recovering import recovering
from pruning_core.training.config import FineTune
from pruning_core.work import finished
from pruning_core.zoo import load_model
from pruning_core.zoo.demos import demo

RESULT = Path(__file__).parent / "results" / "mending.md"
CIFAR, SUBJECTS = "cifar_resnet20", ("digits_resnet", "digits_vgg", "cifar_resnet20")
SHARES = (0.5, 0.3)
CRITERIA: tuple[type[Criterion], ...] = (
    ClusterPruning, ChannelSurgeon, Random, L2Norm, L1Norm, TaylorGate, GeometricMedian, LassoReconstruction,
)  # fmt: skip
RIVALS = {
    "Torch-Pruning, magnitude": torch_pruning.importance.GroupMagnitudeImportance,
    "Torch-Pruning, FPGM": torch_pruning.importance.FPGMImportance,
    "Torch-Pruning, Taylor": torch_pruning.importance.TaylorImportance,
}
SCORED, POSITIONS, TESTED = 128, 10, 2000
TUNE = FineTune(epochs=1, lr=0.01, batch_size=64, device="cpu")
TUNED_ON = 2560
COLUMNS = ("cut", "statistics", "mended 128", "mended 1024", "epoch", "mended, then epoch", "seconds", "forwards")


@dataclass(frozen=True, eq=False)
class Subject:
    name: str
    model: nn.Module
    network: Network
    fit: Dataset
    held_out: Dataset
    test: Dataset


def subject(name: str, folder: Path | None, store: Path) -> Subject | None:
    """None where its images are not there."""
    loaded = load_model(demo(name).ref, Workspace(store))
    if name == CIFAR:
        if folder is None:
            return None
        found = parts(folder, store)
        fit, held_out, test = found.fit, found.held_out, found.test
    else:
        train, test = load_splits(demo(name).data, store)
        fit, held_out = hold_out(train, demo(name).data)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    return Subject(name, loaded.model, network, fit, held_out, test.subset(min(TESTED, len(test)), 0))


def rows(one: Subject, share: float, seed: int, epochs: bool, known: set[str]) -> Iterator[dict[str, Any]]:
    """One row per criterion and per rival that is not known yet."""
    head = {"subject": one.name, "share": share, "seed": seed}
    for cls in CRITERIA:
        criterion: Criterion = Random(seed=seed) if cls is Random else cls()
        if cls.card.name in known:
            continue
        began = time.process_time()
        values = score(one.model, one.network, [criterion], one.fit, images=SCORED, seed=seed)[criterion].values
        scored = time.process_time() - began
        plan = allocate(Uniform(), Pool.of(one.network, values), Budget("macs", fraction=share)).plan
        left = one.network.cost(plan).macs / one.network.cost().macs
        row = head | {"criterion": cls.card.name, "left": left, "scored": scored}
        yield row | measured(one, plan, seed, epochs)
    for name, importance in RIVALS.items():
        if name not in known:
            yield head | {"criterion": name} | rival(one, importance(), share, seed, epochs)


def measured(one: Subject, plan: Plan, seed: int, epochs: bool) -> dict[str, float]:
    pruned, found = remove(one.model, one.network, plan).model, dict[str, float]()

    def after(recovery: Recovery) -> nn.Module:
        work = recovering(one.model, one.network, plan, pruned, recovery, one.fit, seed=seed, device="cpu")
        return finished(work)

    found["cut"] = evaluate(pruned, one.test, device="cpu").top1
    found["statistics"] = evaluate(after(NewStatistics()), one.test, device="cpu").top1
    mended = pruned
    for images in (128, 1024):
        once = forward_seconds(one, images, seed)
        began = time.process_time()
        mended = after(Mending(images, POSITIONS))
        found["seconds"] = time.process_time() - began
        found["forwards"] = found["seconds"] / once
        found[f"mended {images}"] = evaluate(mended, one.test, device="cpu").top1
    if epochs:
        found["epoch"] = trained(one, pruned, seed)
        found["mended, then epoch"] = trained(one, mended, seed)
    return found


def forward_seconds(one: Subject, images: int, seed: int) -> float:
    """Of the processor, for one plain forward of as many images as are mended with, as many at a time."""
    chosen = one.fit.subset(images, seed)
    x = chosen.normalised(chosen.images)
    began = time.process_time()
    with torch.no_grad():
        for rows in batches(x):
            one.model(x[rows])
    return time.process_time() - began


def trained(one: Subject, model: nn.Module, seed: int) -> float:
    fit, held_out = one.fit.subset(min(TUNED_ON, len(one.fit)), seed), one.held_out.subset(64, seed)
    config = replace(TUNE, seed=seed, augment="shift and flip" if one.name == CIFAR else TUNE.augment)
    return evaluate(finished(tuned(model, fit, held_out, one.test.subset(64), config)), one.test, device="cpu").top1


def rival(one: Subject, importance: Any, share: float, seed: int, epochs: bool) -> dict[str, float]:
    """The smallest uniform ratio of Torch-Pruning that keeps to ``share`` of the MACs, by its own pruner."""
    x, y = batch(one, seed)
    whole, low, high, found = macs(one.model, x), 0.0, 0.95, None
    for _ in range(7):
        ratio = (low + high) / 2
        model = copy.deepcopy(one.model).train(False)
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # for importances that read gradients
        pruner = torch_pruning.pruner.BasePruner(model, x[:1], importance, pruning_ratio=ratio, ignored_layers=[last])
        pruner.step()
        fits = macs(model, x) <= share * whole
        low, high = (low, ratio) if fits else (ratio, high)
        found = model if fits else found
    if found is None:
        return {}
    seen = finished(recalibrated(found, one.fit, 512, seed, "cpu"))
    row = {
        "left": macs(found, x) / whole,
        "cut": evaluate(found, one.test, device="cpu").top1,
        "statistics": evaluate(seen, one.test, device="cpu").top1,
    }
    return row | ({"epoch": trained(one, found, seed)} if epochs else {})


def batch(one: Subject, seed: int) -> tuple[Tensor, Tensor]:
    chosen = one.fit.subset(SCORED, seed)
    return chosen.normalised(chosen.images), chosen.labels


def macs(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of one image, counted as ours are."""
    return int(capture(model, x[:1]).cost().macs)


def table(found: list[dict[str, Any]]) -> list[str]:
    """Mean over seeds, with the sample deviation where there are several."""
    lines = [
        "| network | MACs allowed | criterion | MACs left | " + " | ".join(COLUMNS) + " | seeds |",
        "|" + "---|" * (5 + len(COLUMNS)),
    ]
    places = dict.fromkeys((row["subject"], row["share"], row["criterion"]) for row in found)
    for subject_name, share, criterion in sorted(places, key=lambda p: (SUBJECTS.index(p[0]), -p[1])):
        group = [r for r in found if (r["subject"], r["share"], r["criterion"]) == (subject_name, share, criterion)]
        cells = [cell([row[column] for row in group if column in row], column) for column in COLUMNS]
        shares = [row["left"] for row in group if "left" in row]
        left = f"{statistics.mean(shares):.1%}" if shares else "not reached"
        lines.append(f"| {subject_name} | {share:.0%} | {criterion} | {left} | {' | '.join(cells)} | {len(group)} |")
    return lines


def cell(values: list[float], column: str) -> str:
    if not values:
        return "–"
    scale = 1 if column in ("seconds", "forwards") else 100
    mean = f"{scale * statistics.mean(values):.1f}"
    return f"{mean} ± {scale * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def written(found: list[dict[str, Any]]) -> str:
    return "\n".join(
        [
            f"Top-1 on the test part in per cent (CIFAR-10: {TESTED:,} of its images), mean ± deviation over as many "
            f"seeds as the last column says; {datetime.date.today().isoformat()}, torch {torch.__version__}, "
            f"Torch-Pruning {torch_pruning.__version__}, one thread of a shared machine. Equal ratios in all layers. "
            f"Statistics from 512 images, mending from 128 and 1,024 at {POSITIONS} positions each, an epoch over at "
            f"most {TUNED_ON:,} images, of which the weights are kept that are best on 64 held-out ones. Seconds are "
            "the processor's for mending with 1,024 images, the proof included, and forwards the same in plain "
            "forwards of these images, measured right before. Networks that "
            f"Torch-Pruning cut are not mended: our mending needs a plan of ours.{older(found)} {wanting(found)}",
            "",
            *table(found),
            "",
        ]
    )


def older(found: list[dict[str, Any]]) -> str:
    """Rows that are there from before the processor's seconds were counted."""
    if any("mended 1024" in row and "forwards" not in row for row in found):
        return " Rows without seconds are of an earlier run, with the same least squares in slower walks."
    return ""


def wanting(found: list[dict[str, Any]]) -> str:
    """What of all combinations was not run, in a sentence."""
    known = {(row["subject"], row["share"], row["criterion"]) for row in found}
    names = [*(cls.card.name for cls in CRITERIA), *RIVALS]
    lines = [
        f"{subject_name} at {share:.0%} ({', '.join(gone) if len(gone) < len(names) else 'all'})"
        for subject_name in SUBJECTS
        for share in SHARES
        if (gone := [name for name in names if (subject_name, share, name) not in known])
    ]
    return f"Not run: {'; '.join(lines)}." if lines else "Everything was run."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-epochs", action="store_true")
    parser.add_argument("--table", action="store_true", help="of the rows that are there")
    parser.add_argument("--rows", type=Path, default=Path("data/mending.jsonl"))
    parser.add_argument("--store", type=Path, default=Path("data"), help="where the images are kept once read")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.store.mkdir(parents=True, exist_ok=True)
    found = [json.loads(line) for line in chosen.rows.read_text().splitlines()] if chosen.rows.exists() else []
    if not chosen.table:
        measure(chosen, found)
    RESULT.write_text(written(found), encoding="utf-8")


def measure(chosen: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """Append to ``found``, and to the file of rows, what is not there yet."""
    for name in chosen.only:
        one = subject(name, chosen.data, chosen.store)
        if one is None:
            print(f"{name} is left out, because --data names no images of it", flush=True)
            continue
        for seed in range(chosen.seeds):
            for share in chosen.shares:
                known = {r["criterion"] for r in found if (r["subject"], r["share"], r["seed"]) == (name, share, seed)}
                for row in rows(one, share, seed, not chosen.no_epochs, known):
                    found.append(row)
                    print(json.dumps(row), flush=True)
                    with chosen.rows.open("a") as out:
                        out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
