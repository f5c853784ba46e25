"""What a mended sensitivity sweep costs beside the plain one, and what it says that the plain one does not, in one run.

    python -m benchmarks.bench_mended_sweep [--images 512] [--only SUBJECT ...]

The unit is one full forward of the evaluation set through the plain network ("full"); processor seconds of one thread
are counted. Both demos whose images the repository carries: digits, and ResNet-20 on the part of CIFAR-10 that it has.
Channels are ranked by L1 norm. A mended cell refits each layer that reads the group by itself, from equations of the
unpruned network; cells checked are also done the long way, by mending the network for that one plan layer after layer
and moving every batch norm, really removing, and evaluating.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.sensitivity import Exact, Fast, sweep
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import CIFAR_SAMPLE, DataRef, Dataset, hold_out, load_splits
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Cell
from pruning_core.mending import Refits, mend
from pruning_core.replay.winograd import compile_loops
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import load_model
from pruning_core.zoo.demos import demo

RESULT = Path(__file__).parent / "results" / "mended_sweep.md"
SUBJECTS = ("digits_resnet", "digits_vgg", "cifar_resnet20")
RATIOS = tuple(i / 10 for i in range(1, 10))
SHOWN = (0.3, 0.5, 0.7, 0.9)
FITTED, CHECKED = 128, 12
Cells = dict[tuple[str, float], Cell]


@dataclass(frozen=True, eq=False)
class Subject:
    name: str
    model: nn.Module
    network: Network
    fit: Tensor  # images, normalised
    test: Dataset
    scores: Mapping[str, Tensor]


def subject(name: str, images: int, store: Path) -> Subject:
    loaded = load_model(demo(name).ref, Workspace(store))
    data: DataRef = CIFAR_SAMPLE if name.startswith("cifar") else demo(name).data
    train, test = load_splits(data, store)
    fit = hold_out(train, data)[0].subset(FITTED, 0)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    values = score(loaded.model, network, [L1Norm()])[L1Norm()].values
    test = test.subset(min(images, len(test)), 0)
    return Subject(name, loaded.model, network, fit.normalised(fit.images), test, values)


@dataclass(frozen=True)
class Swept:
    cells: Cells
    seconds: float
    collecting: float = 0.0
    solving: float = 0.0


def swept(one: Subject, mode: Exact | Fast, mended: bool) -> Swept:
    began = time.process_time()
    refits = Clocked(one) if mended else None
    if refits is not None:
        refits.begin(lambda what, done, total: None)
    collected = time.process_time() - began
    found: Cells = {}
    for event in sweep(one.model, one.network, one.test, one.scores, RATIOS, mode=mode, device="cpu", refits=refits):
        if isinstance(event, Cell):
            found[event.group, event.ratio] = event
    return Swept(found, time.process_time() - began, collected, refits.seconds if refits is not None else 0.0)


class Clocked(Refits):
    """Counts the processor seconds that solving takes."""

    def __init__(self, one: Subject) -> None:
        super().__init__(one.model, one.network, tuple(one.scores), one.fit)
        self.seconds = 0.0

    def __call__(self, removal: tuple[str, tuple[int, ...]]) -> dict[str, Tensor]:
        began = time.process_time()
        found = super().__call__(removal)
        self.seconds += time.process_time() - began
        return found


def forward(one: Subject) -> float:
    began = time.process_time()
    with torch.no_grad():
        for part in one.test.images.split(64):
            one.model(one.test.normalised(part))
    return time.process_time() - began


def measured(one: Subject) -> dict[str, str]:
    forward(one)  # the first one is slower
    fulls = [forward(one)]
    runs = dict[tuple[str, bool], Swept]()
    for mode in (Exact(), Fast()):
        for mends in (False, True):
            runs[type(mode).__name__, mends] = swept(one, mode, mends)
            fulls.append(forward(one))
    full = sorted(fulls)[len(fulls) // 2]
    plain, mended = runs["Exact", False], runs["Exact", True]
    row = {
        "network": one.name,
        "images": f"{len(one.test)}",
        "grid": f"{len(one.scores)} x {len(RATIOS)}",
        "full (s)": f"{full:.2f}",
        "plain (full)": f"{plain.seconds / full:.1f}",
        "mended (full)": f"{mended.seconds / full:.1f}",
        "of it collecting, solving": f"{mended.collecting / full:.1f}, {mended.solving / full:.1f}",
        "fast, plain (full)": f"{runs['Fast', False].seconds / full:.1f}",
        "fast, mended (full)": f"{runs['Fast', True].seconds / full:.1f}",
    }
    for ratio in SHOWN:
        pair = (mean([c.drop for at, c in run.cells.items() if at[1] == ratio]) for run in (plain, mended))
        row[f"points lost at {ratio:.0%}, plain, mended"] = ", ".join(f"{100 * each:.1f}" for each in pair)
    keys = sorted(mended.cells)
    chosen = keys[:: max(1, len(keys) // CHECKED)][:CHECKED]
    away = [100 * (mended.cells[at].top1 - the_long_way(one, *at)) for at in chosen]
    row["cells checked, mean and largest difference to mending one by one"] = (
        f"{len(away)}, {mean([abs(each) for each in away]):.1f}, {max(away, key=abs):+.1f} points"
    )
    return row


def the_long_way(one: Subject, key: str, ratio: float) -> float:
    plan = Plan({key: lowest(one.scores[key], removed_count(ratio, one.network.group(key).size))})
    done = mend(one.model, one.network, plan, one.fit)
    return evaluate(remove(done.model, one.network, plan).model, one.test, device="cpu").top1


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def written(rows: list[dict[str, str]]) -> str:
    columns = list(rows[0])
    return "\n".join(
        [
            f"Plain and mended sensitivity sweep, {datetime.date.today().isoformat()}, torch {torch.__version__}, one "
            f"thread of a shared machine ({torch.backends.cpu.get_cpu_capability()}).",
            f"Unit: one full forward of the evaluation set. Fitted on {FITTED} images of the training part, measured",
            "on images of the test part; exact unless fast is said. Points lost are means over groups. Checked cells",
            "were mended again for their plan alone, layer after layer, with every batch norm moved along.",
            "",
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
            *("| " + " | ".join(row[column] for column in columns) + " |" for row in rows),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--store", type=Path, default=Path("data"), help="where the images are kept once read")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    compile_loops()  # once in a process, like the imports
    chosen.store.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in chosen.only:
        rows.append(measured(subject(name, chosen.images, chosen.store)))
        print(rows[-1], flush=True)
        if set(chosen.only) == set(SUBJECTS):
            RESULT.write_text(written(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
