"""The sensitivity sweep against doing it one network at a time, side by side in one run.

    python -m benchmarks.bench_sweep [--quick] [--cifar10 cifar10_test.zip]

The unit is one full forward of the evaluation set through the plain network ("full"), so figures of different machines
compare. Processor seconds of one thread are counted, which other work on the machine disturbs least. With a zip of the
CIFAR-10 test images (class folders) the fast sweep of the demo network is measured on all of them too.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import datetime
import gc
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch_pruning
import torchvision
from torch import Tensor, nn

from benchmarks.trained import Stage, digits, trained
from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.sensitivity import Exact, Fast, sweep
from pruning_core.datasets import Dataset
from pruning_core.datasets.folder import read_file
from pruning_core.datasets.raw import quiet
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.measuring.measures import Cell
from pruning_core.replay.winograd import compile_loops
from pruning_core.zoo import ModelRef, load_model
from pruning_core.zoo.architectures import architecture

RATIOS = tuple(i / 10 for i in range(1, 10))
RESULT = Path(__file__).parent / "results" / "sweep.md"
Cells = dict[tuple[int, str, float], Cell]


@dataclass(frozen=True)
class Subject:
    """A network and how it is trained on the digits, so that predictions mean something."""

    name: str
    key: str
    build: Callable[[], nn.Module]
    stages: tuple[Stage, ...]
    pixels: int
    images: int
    ratios: tuple[float, ...] = RATIOS
    checked: int = 18  # cells that are done the naive way and by real removal


SUBJECTS = (
    Subject(
        "ResNet-18 at 32 px", "resnet18", partial(torchvision.models.resnet18, num_classes=10), (Stage(32, 6),), 32, 512
    ),
    Subject(
        "VGG-16-BN at 32 px",
        "vgg16_bn",
        partial(architecture("cifar_vgg16_bn").build, 10, 3),
        (Stage(32, 5),),
        32,
        512,
        checked=9,
    ),
    Subject(
        "ResNet-50 at 224 px",
        "resnet50",
        partial(torchvision.models.resnet50, num_classes=10),
        (Stage(64, 4), Stage(112, 1, 0.02), Stage(224, 2, 0.01, 256)),
        224,
        32,
        (0.4, 0.8),
        checked=4,
    ),
    Subject(
        "ResNet-56 at 32 px",
        "resnet56",
        partial(architecture("cifar_resnet56").build, 10, 3),
        (Stage(16, 8, 0.1), Stage(32, 4)),
        32,
        512,
        checked=9,
    ),
)


def rounds(model: nn.Module, network: Network) -> Iterator[dict[str, Tensor]]:
    """L1 norms, one round per producing layer of a group: together one row per layer, as peers sweep."""
    most = max(len(g.producers) for g in network.groups)
    parameters = dict(model.named_parameters())
    for number in range(most):
        scores = {}
        for group in network.groups:
            if number < len(group.producers):
                member = group.producers[number]
                rows = parameters[member.parameter].detach().movedim(member.dim, 0).flatten(1).abs().sum(1)
                scores[group.key] = rows[torch.as_tensor(member.index)].sum(1)
        yield scores


def naive(model: nn.Module, layer: str, drop: tuple[int, ...], x: Tensor, batch: int) -> Tensor:
    """What peers do for one cell: copy, trace, prune with Torch-Pruning, run everything."""
    pruned = copy.deepcopy(model)
    graph = torch_pruning.DependencyGraph().build_dependency(pruned, example_inputs=x[:1])
    module = pruned.get_submodule(layer)
    pruner = (
        torch_pruning.prune_conv_out_channels
        if isinstance(module, nn.Conv2d)
        else torch_pruning.prune_linear_out_channels
    )
    if drop:
        graph.get_pruning_group(module, pruner, idxs=list(drop)).prune()
    with torch.no_grad():
        return forward(pruned, x, batch)


def forward(model: nn.Module, x: Tensor, batch: int = 64) -> Tensor:
    return torch.cat([model(part) for part in x.split(batch)])


def best_batch(model: nn.Module, x: Tensor) -> int:
    """The size of batches that the plain network is fastest with, so that the naive way is not slowed by a bad one."""
    with torch.no_grad():
        model(x[:8])
        return min((8, 64), key=lambda batch: spent(lambda: forward(model, x[:64], batch)).seconds)


@dataclass(frozen=True)
class Spent:
    """Processor seconds, and megabytes that were taken at most beyond those before."""

    seconds: float
    megabytes: float


def spent(work: Callable[[], object]) -> Spent:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before, began = status("VmRSS"), time.process_time()
    work()
    return Spent(time.process_time() - began, (status("VmHWM") - before) / 1e3)


def status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return float(found[1])


def full_forward(model: nn.Module, x: Tensor, batch: int) -> float:
    """Processor seconds: the median of as many as take ten seconds, three at most, after a short first one."""
    found: list[float] = []
    with torch.no_grad():
        model(x[:16])
        while len(found) < 3 and sum(found) < 10:
            found.append(spent(lambda: forward(model, x, batch)).seconds)
    return sorted(found)[len(found) // 2]


class Run:
    """A sweep's last cells, and how long the first one took by the clock."""

    def __init__(self) -> None:
        self.cells: Cells = {}
        self.first = 0.0

    def sweep(
        self,
        model: nn.Module,
        network: Network,
        data: Dataset,
        scores: list[dict[str, Tensor]],
        ratios: tuple[float, ...],
        mode: Exact | Fast,
    ) -> Spent:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # or a sweep reuses what the last one left, and seems to need nothing
        return spent(lambda: self._sweep(model, network, data, scores, ratios, mode))

    def _sweep(
        self,
        model: nn.Module,
        network: Network,
        data: Dataset,
        scores: list[dict[str, Tensor]],
        ratios: tuple[float, ...],
        mode: Exact | Fast,
    ) -> None:
        began = time.perf_counter()
        for number, each in enumerate(scores):
            for event in sweep(model, network, data, each, ratios, mode=mode, device="cpu"):
                if isinstance(event, Cell):
                    self.first = self.first or time.perf_counter() - began
                    self.cells[number, event.group, event.ratio] = event


def measure(subject: Subject) -> dict[str, object]:
    test = digits(subject.pixels)[1].subset(subject.images)
    model = trained(subject.key, subject.build, subject.stages)
    x = test.normalised(test.images)
    network = capture(model, x[:1])
    every = list(rounds(model, network))
    batch = best_batch(model, x)
    full = full_forward(model, x, batch)
    fast = Run()
    quick = fast.sweep(model, network, test, every[:1], subject.ratios, Fast(0.02))
    full = (full + full_forward(model, x, batch)) / 2
    exact = Run()
    slow = exact.sweep(model, network, test, every, subject.ratios, Exact())
    keys = sorted(exact.cells)
    chosen = keys[:: max(1, len(keys) // subject.checked)][: subject.checked]
    seconds, wrong = 0.0, 0
    for number, key, ratio in chosen:
        group = network.group(key)
        drop = lowest(every[number][key], removed_count(ratio, group.size))
        one = partial(naive, model, group.producers[number].layer, drop, x, batch)
        seconds += spent(one).seconds
        with torch.no_grad():
            real = forward(remove(model, network, Plan({key: drop})).model.eval(), x)
        right = int((real.argmax(1) == test.labels).sum())
        wrong += right != round(exact.cells[number, key, ratio].top1 * subject.images)
    each = seconds / len(chosen)
    errors = [abs(fast.cells[at].drop - exact.cells[at].drop) for at in fast.cells]
    inside = [fast.cells[at].drop_low <= exact.cells[at].drop <= fast.cells[at].drop_high for at in fast.cells]
    with torch.no_grad():
        right = int((forward(model, x).argmax(1) == test.labels).sum())
    return {
        "network": subject.name,
        "images": subject.images,
        "right, unpruned": f"{100 * right / subject.images:.0f} %",
        "full (s)": f"{full:.2f}",
        "grid": f"{len(keys) // len(subject.ratios)} x {len(subject.ratios)}",
        "naive (full)": f"{each * len(keys) / full:.0f}",
        "exact (full)": f"{slow.seconds / full:.1f}",
        "ahead": f"{each * len(keys) / slow.seconds:.1f}x",
        "cells checked, wrong": f"{len(chosen)}, {wrong}",
        "slider grid": f"{len(every[0])} x {len(subject.ratios)}",
        "fast (full)": f"{quick.seconds / full:.1f}",
        "fast, ahead": f"{each * len(fast.cells) / quick.seconds:.1f}x",
        "fast, measured": f"{sum(not cell.estimated for cell in fast.cells.values())} of {len(fast.cells)}",
        "fast, mean error": f"{100 * sum(errors) / len(errors):.2f} points",
        "fast, inside interval": f"{100 * sum(inside) / len(inside):.1f} %",
        "first cell (s)": f"{fast.first:.1f}",
        "peak memory exact, fast (MB)": f"{slow.megabytes:.0f}, {quick.megabytes:.0f}",
        "load": f"{os.getloadavg()[0]:.0f}",
    }


def alone(number: int) -> dict[str, object]:
    """Measure one of the subjects in a process of its own, whose memory nothing before it has touched."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_measure, (number,))


def _measure(number: int) -> dict[str, object]:
    return measure(SUBJECTS[number])


def ten_thousand(archive: Path) -> str:
    """The fast sweep of the demo ResNet-20 on every CIFAR-10 test image, in full forwards."""
    loaded = load_model(ModelRef("demo", "cifar_resnet20", "demo"))
    assert loaded.mean is not None and loaded.std is not None
    raw = read_file(archive, archive.name, None, quiet)
    data = Dataset(raw.images, raw.labels, raw.classes, loaded.mean, loaded.std, "CIFAR-10")
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    scores = next(rounds(loaded.model, network))
    with torch.no_grad():
        full = spent(lambda: [loaded.model(data.normalised(part)) for part in data.images.split(64)]).seconds
    run = Run()
    quick = run.sweep(loaded.model, network, data, [scores], RATIOS, Fast(0.02))
    measured = [cell.images for cell in run.cells.values() if not cell.estimated]
    each = sum(measured) / len(measured)
    return (
        f"ResNet-20 (demo) on {len(data):,} CIFAR-10 test images, {len(scores)} x {len(RATIOS)} cells, fast: "
        f"{quick.seconds / full:.1f} full ({len(measured)} cells measured, each on {each:,.0f} images), first cell "
        f"after {run.first:.1f} s, peak memory {quick.megabytes:.0f} MB, load {os.getloadavg()[0]:.0f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first network only, few cells of the naive way")
    parser.add_argument("--cifar10", type=Path, help="a zip of the CIFAR-10 test images in class folders")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    compile_loops()  # once in a process, like the imports
    lines = [
        f"Sensitivity sweep, {datetime.date.today().isoformat()}, torch {torch.__version__}, one thread of "
        f"{os.cpu_count()} ({torch.backends.cpu.get_cpu_capability()}, bfloat16 in hardware: "
        f"{bfloat16_is_fast('cpu')}).",
        "Unit: one full forward of the evaluation set. The naive way (copy, Torch-Pruning, evaluate) is timed on the",
        "cells checked and scaled to the grid. Wrong: cells whose number of right images differs from real removal.",
        "Load: how many processes wanted the processors when the row was done. Every row has a process of its own.",
        "Fast, measured: the other cells of that grid are estimated between measured ones that lose about the same.",
        "The networks are trained on the digits (`benchmarks/trained.py`). The stopping rule was tuned on a ResNet-18,",
        "and the measure that chooses images to compute precisely on these ResNet-18 and VGG-16-BN; halving the ratios",
        "was tried on all but ResNet-50.",
    ]
    done: list[dict[str, object]] = []
    for number in range(1 if chosen.quick else len(SUBJECTS)):
        done.append(alone(number))
        write(lines, done, keep=not chosen.quick)
    if chosen.cifar10 is not None:
        lines.append(ten_thousand(chosen.cifar10))
        write(lines, done, keep=not chosen.quick)


def write(lines: list[str], rows: list[dict[str, object]], *, keep: bool) -> None:
    """Print the table; ``keep`` it, whole after every row, so that a run that is stopped has not been for nothing."""
    columns = list(rows[0])
    table = ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    table += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    text = "\n".join(lines + table)
    print(text, flush=True)
    if keep:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
