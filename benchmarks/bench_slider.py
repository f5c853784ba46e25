"""What a moved slider costs, against removing the channels and evaluating, side by side in one run.

    python -m benchmarks.bench_slider [--cifar cifar10_test.zip] [--threads 1] [--quick]

A person moves one slider after the other. After each move: the closed-form cost, the first-order estimate, the first
measured batch and all images; beside them one full forward of the unpruned network, and ``remove()`` with an
evaluation of the smaller network. Without CIFAR images the digits stand in, and networks that were not trained on
them are not asked how far off their estimates are.
"""

from __future__ import annotations

import argparse
import datetime
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn

from benchmarks.bench_sweep import SUBJECTS, spent
from benchmarks.trained import digits, trained
from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.slider import Slider
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import Dataset, import_data, load_data
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.measuring.evaluate import evaluate
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import DEMOS, load_model

RESULT = Path(__file__).parent / "results" / "slider.md"
IMAGES = 512
RATIOS = (0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Subject:
    name: str
    model: nn.Module
    data: Dataset
    trained: bool


def demo(archive: Path | None) -> Subject:
    """ResNet-20 as it is committed, on CIFAR-10's test images where they are at hand."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        loaded = load_model(next(each.ref for each in DEMOS if each.ref.name == "cifar_resnet20"), workspace)
        if archive is None:
            return Subject("ResNet-20 (demo)", loaded.model, digits(32)[1].subset(IMAGES), False)
        ref = import_data(archive, archive.name, workspace.root)
        data = fitted(load_data(ref, workspace.root).subset(IMAGES), ref, loaded)
        return Subject("ResNet-20 (demo), CIFAR-10", loaded.model, data, True)


def resnet18() -> Subject:
    subject = SUBJECTS[0]
    model = trained(subject.key, subject.build, subject.stages)
    test = digits(subject.pixels)[1]
    return Subject("ResNet-18 at 32 px, digits", model, test.subset(IMAGES), True)


def moves(model: nn.Module, network: Network, count: int) -> list[Plan]:
    """One slider after the other, groups and ratios at random."""
    chance, criterion = random.Random(0), L1Norm()
    values = score(model, network, [criterion])[criterion].values
    plans = [Plan()]
    for _ in range(count):
        group = chance.choice(network.groups)
        removed = removed_count(chance.choice(RATIOS), group.size)
        plans.append(plans[-1].with_group(group.key, lowest(values[group.key], removed)))
    return plans[1:]


def measure(subject: Subject, count: int) -> dict[str, str]:
    model, data = subject.model, subject.data
    network = capture(model, torch.zeros(1, *data.size))
    x = data.normalised(data.images)
    with torch.no_grad():
        full = min(spent(lambda: [model(part) for part in x.split(128)]).seconds for _ in range(3))
    slider = Slider(model, network, data, device="cpu")
    list(slider.measuring(Plan()))
    list(slider.expanding(Plan()))
    found: defaultdict[str, list[float]] = defaultdict(list)
    wrong = 0
    for plan in moves(model, network, count):
        estimate = slider.estimate(plan)
        assert estimate is not None
        found["estimate"].append(estimate.milliseconds)
        wall, began = time.perf_counter(), time.process_time()
        accuracies = []
        for answer in slider.measuring(plan):
            accuracies.append(answer.accuracy)
            if len(accuracies) == 1:
                found["first"].append(time.process_time() - began)
                found["first, wall"].append(time.perf_counter() - wall)
        found["all"].append(time.process_time() - began)
        found["all, wall"].append(time.perf_counter() - wall)
        began = time.process_time()
        list(slider.expanding(plan))
        found["terms"].append(time.process_time() - began)
        began = time.process_time()
        real = evaluate(remove(model, network, plan).model if plan else model, data, device="cpu")
        found["removal"].append(time.process_time() - began)
        wrong += real.top1 != accuracies[-1].top1
        found["off"].append(abs(estimate.top1 - accuracies[-1].top1))
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "network": subject.name,
        "moves": str(count),
        "full forward": f"{1000 * full:.0f} ms",
        "remove and evaluate": f"{1000 * middle['removal']:.0f} ms",
        "estimate": f"{middle['estimate']:.2f} ms",
        f"first {slider.size} images": _times(found, "first"),
        f"all {len(data)} images": _times(found, "all"),
        "of a full forward": f"{middle['all'] / full:.2f}",
        "ahead of removal": f"{middle['removal'] / middle['all']:.1f}x",
        "wrong accuracies": str(wrong),
        "first-order terms": f"{1000 * middle['terms']:.0f} ms",
        "estimate off by": f"{100 * statistics.fmean(found['off']):.1f} points on average, "
        f"{100 * max(found['off']):.1f} at most"
        if subject.trained
        else "not asked",
    }


def _times(found: defaultdict[str, list[float]], name: str) -> str:
    usual, most = (1000 * pick(found[name]) for pick in (statistics.median, max))
    return f"{usual:.0f} ms (at most {most:.0f}; wall clock {1000 * statistics.median(found[f'{name}, wall']):.0f})"


def cost_of_resnet50() -> str:
    model = torchvision.models.resnet50()
    network = capture(model, torch.zeros(1, 3, 224, 224))
    plan = Plan({g.key: range(g.size // 2) for g in network.groups})
    network.cost(plan)
    times = [1000 * spent(lambda: network.cost(plan)).seconds for _ in range(200)]
    return f"ResNet-50 at 224 px, MACs and parameters of a plan: median {statistics.median(times):.2f} ms of 200 calls."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, help="zip of CIFAR-10 test images, one folder per class")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few moves, and no file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    count = 4 if given.quick else 20
    results = [measure(subject, count) for subject in (demo(given.cifar), resnet18())]
    load = Path("/proc/loadavg")
    lines = [
        f"The slider, {datetime.date.today().isoformat()}, torch {torch.__version__}, {given.threads} thread(s) "
        f"({torch.backends.cpu.get_cpu_capability()}, bfloat16 in hardware: {bfloat16_is_fast('cpu')}); "
        f"load of the machine at the end: {load.read_text().split()[0] if load.exists() else 'unknown'}.",
        "Medians over the moves, of processor time unless wall clock is said: other work disturbs it least.",
        "Wrong: accuracies that differ from real removal.",
        "",
        *(f"- **{row['network']}**\n" + "\n".join(f"  - {k}: {v}" for k, v in row.items() if k != "network")
          for row in results),
        "",
        cost_of_resnet50(),
    ]  # fmt: skip
    print("\n".join(lines))
    if not given.quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
