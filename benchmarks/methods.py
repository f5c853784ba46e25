"""Every method of the registry on the digits demo, under one budget and one length of training: a table.

    python -m benchmarks.methods [--epochs 8] [--seeds 3] [--only KEY ...] [--rows FILE]     (make methods)
    python -m benchmarks.methods --scheduler tcp://host:8786 ...    (the same by the workers of a Dask cluster)
    python -m benchmarks.methods --data FOLDER [--images 2000] [--table] ...           (the best known, on CIFAR-10)

Beside them the same training after a cut by chance, as the random control; the scratch controls stand in the registry.
A method whose network cannot come down to the budget says so in its row. Every accuracy is that of the test images
of the demo; weights are chosen on held-out ones. A seed draws the images that are scored, chance, and the order of
training. Measured rows are appended to FILE, so that a run goes on where another ended; ``--table`` only writes the
table of what stands there. FOLDER holds cifar10_train.zip and cifar10_test.zip, of which the first images of every
class are taken, so that a processor gets through. The table with three seeds, begun again as often as it was stopped
(what stands in rows.jsonl is not measured again; every seed is finished before the next one begins)::

    OMP_NUM_THREADS=1 nice python -m benchmarks.methods --data FOLDER --images 1500 --epochs 4 --seeds 3 \
        --rows rows.jsonl

Estimated for one idle core, from the seconds of the table with one seed and the load that it bore: a minute a row for
those that train four epochs, one and a half for SFP, FPGM and N:M, three for DBP and five for AutoSlim; twenty minutes
a seed, an hour in all, and several times that beside other programs. AutoSlim alone, to see whether it ends::

    ... --seeds 1 --only autoslim-trained --rows rows.jsonl
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pruning_core.allocation.budget import Budget
from pruning_core.criteria import FeatureMapRank, Random
from pruning_core.datasets import DIGITS, DataRef, import_data
from pruning_core.errors import UserError
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.methods.auto_slim import AutoSlim
from pruning_core.methods.base import Method, Outcome
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.registry import METHODS
from pruning_core.runs.crew import Crew
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.cluster import dask_crew
from pruning_core.studies.method import MethodRun
from pruning_core.studies.spreading import several
from pruning_core.studies.treated import Standing, Treated
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS, ModelRef
from pruning_core.zoo.demos import demo

RESULTS = Path(__file__).parent / "results"
KNOWN = ("cut-train", "netslim", "sfp", "fpgm-soft", "gbn", "mag", "nm", "dbp", "autoslim-trained", "scratch-b")
# What takes longest is scaled down once more: steps of half a layer need half as many networks as those of a quarter.
SCALED: dict[str, Method] = {"autoslim-trained": AutoSlim(part=0.5)}
RANKED = "hrank"
SHARE, LESS = 0.5, 0.65
CHANCE = "random control"
NAMED = {CHANCE: "Cut by chance, then train", RANKED: "HRank, then train"}
HEAD = (
    "| method | family | ends in | MACs left | parameters left | size | right after | in the end | "
    "against random | latency | seconds |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
SHORT = {
    Outcome.SMALLER: "smaller", Outcome.SPARSE: "sparse", Outcome.REGROUPED: "grouped", Outcome.SHALLOWER: "shallower",
    Outcome.DYNAMIC: "dynamic",
}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """What all are tried on. ``keys``: of methods; none means all of them. ``timed``: whether latencies are shown."""

    name: str
    ref: ModelRef
    data: DataRef
    config: FineTune
    file: Path
    said: str
    keys: tuple[str, ...] = ()
    timed: bool = True

    @property
    def clock(self) -> str:
        if self.timed:
            return "*Latency* is that of one image as a multiple of the unpruned network's."
        return "Other programs ran beside it: seconds are longer than they need be, and latencies are left out."

    def entries(self, seed: int) -> dict[str, Method]:
        """By key: the random control first, so that the others can be held against it."""
        found: dict[str, Method] = {CHANCE: CutAndTrain(criterion=Random(seed=seed))}
        if not self.keys:
            return found | {method.card.key: method() for method in METHODS}
        classes = {method.card.key: method for method in METHODS}
        tried = {key: SCALED.get(key) or classes[key]() for key in self.keys}
        return found | tried | {RANKED: CutAndTrain(criterion=FeatureMapRank())}


def digits(epochs: int) -> Ground:
    said = "450 test images: a point is four or five of them."
    config = FineTune(epochs=epochs, device="cpu")
    return Ground("the digits demo", DEMOS[0].ref, DIGITS, config, RESULTS / "methods.md", f"ResNet on digits, {said}")


def cifar(folder: Path, store: Path, images: int, epochs: int) -> Ground:
    """``images`` of the training part, half as many of the test part; the same in every run."""
    parts = [
        _first(folder / f"cifar10_{part}.zip", store, many) for part, many in (("train", images), ("test", images // 2))
    ]
    ref = import_data(parts[0], parts[0].name, store, test_file=parts[1])
    products = "bfloat16" if bfloat16_is_fast("cpu") else "float32"
    config = FineTune(
        epochs=epochs, lr=0.02, batch_size=64, augment="shift and flip", precision=products, device="cpu"
    )  # fmt: skip
    said = (
        f"ResNet-20 on CIFAR-10, trained here on {images:,} of the 50,000 training images (papers train on all, for "
        f"40 to 300 epochs; products in {products}), measured on {images // 2:,} test images. The soft methods "
        "(SFP, FPGM) train nothing after their cut, as in their papers. AutoSlim takes halves of layers at a time, "
        "where it takes quarters elsewhere and its paper smaller parts."
    )
    return Ground(
        "CIFAR-10, the best known ones",
        demo("cifar_resnet20").ref,
        ref,
        config,
        RESULTS / "methods_cifar.md",
        said,
        KNOWN,
        timed=False,
    )


def _first(file: Path, store: Path, many: int) -> Path:
    """A zip with the first images of every class, ``many`` in all."""
    small = store / f"first-{many}-{file.name}"
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(small, "w") as part:
        names = sorted(name for name in whole.namelist() if not name.endswith("/"))
        taken: dict[str, int] = {}
        for name in names:
            label = name.split("/")[0]
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= many // 10:
                part.writestr(zipfile.ZipInfo(name), whole.read(name))
    return small


def row(key: str, method: Method, ground: Ground, seed: int, workspace: Workspace) -> dict[str, Any]:
    """What came of one method, or why nothing did. A budget out of reach is tried once more, less strict."""
    for share in (SHARE, LESS):
        began = time.perf_counter()
        try:
            events = list(spec_of(method, ground, seed, share).run(workspace))
        except UserError as error:
            why = str(error)
            continue
        (end,) = [event for event in events if isinstance(event, Treated)]
        return described(key, method, end, time.perf_counter() - began)
    return {"key": key, "name": method.card.name, "family": _family(key, method), "why": why}


def spec_of(method: Method, ground: Ground, seed: int, share: float) -> MethodRun:
    config = replace(ground.config, seed=seed)
    return MethodRun(ground.ref, ground.data, method, Budget("macs", fraction=share), config)


def rows_by(
    crew: Crew, wanted: Mapping[tuple[str, int], Method], ground: Ground, workspace: Workspace
) -> Iterator[dict[str, Any]]:
    """As ``row`` of each (key, seed), by workers; ``seconds`` are those of the phases, by the worker's clock."""
    left = dict(wanted)
    for share in (SHARE, LESS):
        asked = {spec_of(method, ground, at[1], share): at for at, method in left.items()}
        for spec, events in several(asked, workspace, crew):
            key, seed = at = asked[spec]
            method = left[at]
            if isinstance(events, UserError):
                if share == LESS:
                    named = {"key": key, "name": method.card.name, "family": _family(key, method)}
                    yield named | {"why": str(events), "seed": seed}
                continue
            (end,) = [event for event in events if isinstance(event, Treated)]
            del left[at]
            yield described(key, method, end, end.seconds) | {"seed": seed}


def _family(key: str, method: Method) -> str:
    """Of a cut with the usual training it is that of the criterion."""
    if key == CHANCE:
        return "control"
    return method.criterion.card.family if isinstance(method, CutAndTrain) else method.card.family


def described(key: str, method: Method, end: Treated, seconds: float) -> dict[str, Any]:
    macs, parameters, size = left(end.after)
    full = end.before.cost
    return {
        "key": key,
        "name": NAMED.get(key, method.card.name),
        "family": _family(key, method),
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


def line(runs: list[dict[str, Any]], chance: float | None, *, timed: bool = True) -> str:
    """One method, over its seeds; what was not ``timed`` in peace has no latency."""
    first = runs[0]
    if "why" in first:
        return f"| {first['name']} | {first['family']} | {first['why']} |" + " |" * 8

    def mean(name: str) -> float:
        return statistics.fmean(each[name] for each in runs)

    after = [100 * each["after"] for each in runs]
    spread = f" ± {statistics.stdev(after):.1f}" if len(after) > 1 else ""
    against = "" if chance is None or first["key"] == CHANCE else f"{statistics.fmean(after) - 100 * chance:+.1f}"
    cut = "" if first["cut"] is None else f"{100 * mean('cut'):.1f}"
    latency = f"{mean('latency') / mean('was'):.2f}" if timed else ""
    return (
        f"| {first['name']} | {first['family']} | {first['ends']} | {100 * mean('macs'):.0f} % "
        f"| {100 * mean('parameters'):.0f} % | {mean('bytes') / 1000:.0f} kB | {cut} "
        f"| {statistics.fmean(after):.1f}{spread} | {against} | {latency} "
        f"| {mean('seconds'):.0f} |"
    )


def table(rows: list[dict[str, Any]], ground: Ground) -> str:
    runs: dict[str, list[dict[str, Any]]] = {}
    for each in rows:
        runs.setdefault(each["key"], []).append(each)
    measured = [each for each in rows if "after" in each]
    chance = [each["after"] for each in measured if each["key"] == CHANCE]
    return "\n".join(
        [
            f"# {'Methods on' if ground.keys else 'Every method on'} {ground.name}",
            "",
            f"`python -m benchmarks.methods`, {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} thread(s), load {os.getloadavg()[0]:.1f} at the end; "
            f"{sum(each['seconds'] for each in measured) / 60:.0f} minutes for all. {ground.said} "
            f"{100 * measured[0]['before']:.1f} % before; at most {100 * SHARE:.0f} % of the MACs ({100 * LESS:.0f} "
            f"% where that is out of reach), {ground.config.epochs} epochs in all for each, "
            f"{_seeds(runs.values())}. {ground.clock}",
            "",
            "*MACs* and *parameters* of sparse networks count what is not zero, and their *size* is that of a bit mask "
            "and the other values; those of dynamic ones are what an average test image needed. Ordinary kernels "
            "multiply by zeros and behind closed gates too, and the latency says so. Every method is "
            "scaled down from its paper, as its card on the Methods page says: this table shows that each runs and "
            "ends where it says it does, and not which is best.",
            "",
            *HEAD,
            *(line(each, statistics.fmean(chance) if chance else None, timed=ground.timed) for each in runs.values()),
            "",
        ]
    )


def _seeds(runs: Iterable[list[dict[str, Any]]]) -> str:
    least, most = min(map(len, runs)), max(map(len, runs))
    many = f"{most} seed{'s' if most > 1 else ''}" if least == most else f"{least} to {most} seeds"
    return many + (" (mean ± standard deviation)" if most > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--scheduler", help="tcp://host:8786")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if asked.rows and asked.rows.exists():
        rows = [json.loads(text) for text in asked.rows.read_text().splitlines()]
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        ground = cifar(asked.data, workspace.root, asked.images, asked.epochs) if asked.data else digits(asked.epochs)
        known = {(each["key"], each["seed"]) for each in rows}
        wanted = {
            (key, seed): method
            for seed in range(0 if asked.table else asked.seeds)
            for key, method in ground.entries(seed).items()
            if (key, seed) not in known and (not asked.only or key in asked.only)
        }
        here = (row(key, each, ground, seed, workspace) | {"seed": seed} for (key, seed), each in wanted.items())
        crew = dask_crew(asked.scheduler) if asked.scheduler else None
        for made in rows_by(crew, wanted, ground, workspace) if crew else here:
            rows.append(made)
            print(line(rows[-1:], None), flush=True)
            if asked.rows:
                with asked.rows.open("a") as file:
                    file.write(json.dumps(made) + "\n")
    ground.file.write_text(table(rows, ground), encoding="utf-8")
    print(f"{ground.file.name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
