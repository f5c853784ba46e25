"""The sensitivity sweep against doing it one network at a time, side by side in one run.

    python -m benchmarks.bench_sweep [--quick]

The unit is one full forward of the evaluation set through the plain network ("full"), so figures of different machines
compare. Processor seconds of one thread are counted, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torch_pruning
import torchvision
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.measures import Cell
from pruning_core.analysis.sensitivity import Exact, Fast, sweep
from pruning_core.datasets import DataRef, Dataset, load_splits
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.zoo.architectures import architecture

RATIOS = tuple(i / 10 for i in range(1, 10))
RESULT = Path(__file__).parent / "results" / "sweep.md"


@dataclass(frozen=True)
class Subject:
    name: str
    build: Callable[[], nn.Module]
    pixels: int
    images: int
    epochs: int  # of training on the digits, so that predictions mean something; 0 leaves the weights random


SUBJECTS = (
    Subject("ResNet-18 at 32 px", lambda: torchvision.models.resnet18(num_classes=10), 32, 512, 3),
    Subject("ResNet-56 at 32 px", lambda: architecture("cifar_resnet56").build(10, 3), 32, 512, 2),
    Subject("VGG-16-BN at 32 px", lambda: architecture("cifar_vgg16_bn").build(10, 3), 32, 512, 2),
    Subject("ResNet-50 at 224 px", lambda: torchvision.models.resnet50(num_classes=10), 224, 32, 0),
)


def digits(pixels: int) -> tuple[Dataset, Dataset]:
    """(train, test) in colour at the wanted size."""
    train, test = load_splits(DataRef("digits", "digits", test_fraction=0.3))
    return tuple(part.fitted((3, pixels, pixels)) for part in (train, test))  # type: ignore[return-value]


def train(model: nn.Module, data: Dataset, epochs: int) -> None:
    x, y = data.normalised(data.images), data.labels
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(64):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


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


def naive(model: nn.Module, layer: str, drop: tuple[int, ...], x: Tensor) -> Tensor:
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
        return forward(pruned, x)


def forward(model: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([model(part) for part in x.split(64)])


def processor(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(subject: Subject, sampled: int) -> dict[str, object]:
    torch.manual_seed(0)
    fit, test = digits(subject.pixels)
    test = test.subset(subject.images)
    model = subject.build()
    train(model, fit, subject.epochs)
    model.eval()
    x = test.normalised(test.images)
    network = capture(model, x[:1])
    with torch.no_grad():
        forward(model, x)
        full = sorted(processor(lambda: forward(model, x)) for _ in range(3))[1]
    every = list(rounds(model, network))
    rows = sum(len(scores) for scores in every)
    found: dict[tuple[int, str, float], Cell] = {}

    def run(mode: Exact | Fast, scores: list[dict[str, Tensor]], into: dict[tuple[int, str, float], Cell]) -> None:
        for number, each in enumerate(scores):
            for event in sweep(model, network, test, each, RATIOS, mode=mode, device="cpu"):
                if isinstance(event, Cell):
                    into[number, event.group, event.ratio] = event

    exact = processor(lambda: run(Exact(), every, found))
    sliders: dict[tuple[int, str, float], Cell] = {}
    fast = processor(lambda: run(Fast(0.02), every[:1], sliders))
    keys = sorted(found)
    chosen = keys[:: max(1, len(keys) // sampled)]
    seconds, wrong, different = 0.0, 0, 0
    for number, key, ratio in chosen:
        group = network.group(key)
        drop = lowest(every[number][key], removed_count(ratio, group.size))
        layer = group.producers[number].layer
        began = time.process_time()
        other = naive(model, layer, drop, x)
        seconds += time.process_time() - began
        with torch.no_grad():
            real = forward(remove(model, network, Plan({key: drop})).model.eval(), x) if drop else forward(model, x)
        right = int((real.argmax(1) == test.labels).sum())
        wrong += right != round(found[number, key, ratio].top1 * subject.images)
        different += int((other.argmax(1) != real.argmax(1)).sum())
    cells = len(keys)
    slow = seconds / len(chosen) * cells
    errors = [abs(sliders[at].drop - found[at].drop) for at in sliders]
    inside = [sliders[at].drop_low <= found[at].drop <= sliders[at].drop_high for at in sliders]
    return {
        "network": subject.name,
        "images": subject.images,
        "full (s)": f"{full:.2f}",
        "grid": f"{rows} x {len(RATIOS)}",
        "naive (full)": f"{slow / full:.0f}",
        "exact (full)": f"{exact / full:.1f}",
        "ahead": f"{slow / exact:.1f}x",
        "cells checked, wrong": f"{len(chosen)}, {wrong}",
        "slider grid": f"{len(network.groups)} x {len(RATIOS)}",
        "fast (full)": f"{fast / full:.1f}",
        "fast, ahead": f"{slow / cells * len(sliders) / fast:.1f}x",
        "fast, mean error": f"{100 * sum(errors) / len(errors):.2f} points",
        "fast, inside interval": f"{100 * sum(inside) / len(inside):.1f} %",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first network only, few cells of the naive way")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    results = [measure(subject, 9 if quick else 18) for subject in SUBJECTS[: 1 if quick else None]]
    columns = list(results[0])
    lines = [
        f"Sensitivity sweep, {datetime.date.today().isoformat()}, torch {torch.__version__}, one thread "
        f"({torch.backends.cpu.get_cpu_capability()}, bfloat16 tiles: {torch.cpu._is_amx_tile_supported()}).",
        "Unit: one full forward of the evaluation set. The naive way (copy, Torch-Pruning, evaluate) is timed on the",
        "cells checked and scaled to the grid. Wrong: cells whose number of right images differs from real removal.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(str(row[c]) for c in columns) + " |" for row in results),
    ]
    print("\n".join(lines))
    if not quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
