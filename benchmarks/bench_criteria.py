"""Criteria and the Similarity page on ResNet-50 at 224 pixels, beside the straightforward way, in one run.

    python -m benchmarks.bench_criteria [--quick]

Weights are random: time does not depend on what a network has learnt. Processor seconds of one thread are counted,
which other work on the machine disturbs least, and wall seconds on two threads; the unit beside them is one forward
pass of the same images.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from torch import Tensor, nn

from pruning_core.analysis.embedding import principal_components
from pruning_core.analysis.redundancy import channel_redundancy, kernel_redundancy
from pruning_core.analysis.similarity import EUCLIDEAN, WARD, all_but_one, grow, k_means, silhouette, weight_rows
from pruning_core.criteria import CRITERIA, ChannelIndependence, FeatureMapRank, score
from pruning_core.criteria.feature_maps import row_independence
from pruning_core.datasets import Dataset
from pruning_core.graph import Group, Network, capture
from pruning_core.numeric.kernel_clusters import kernel_trees
from pruning_core.numeric.rank import ranks
from pruning_core.probe.places import kernels

RESULT = Path(__file__).parent / "results" / "criteria.md"
STAGE, THREE = "layer4.0.conv3", "layer4.1.conv2"  # the widest coupled stage, and 512 filters of 512 kernels of 3 x 3
LEFT_OUT = 2  # channels per layer on which the definition of CHIP is timed
MAPS = 64  # feature maps per size on which the definition of HRank is timed


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one thread, and wall seconds on two."""

    processor: float
    wall: float


def cost(work: Callable[[], object], rounds: int = 3) -> Cost:
    """The least of several rounds; the first one, which compiles, is not counted."""
    work()
    best = {}
    for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
        torch.set_num_threads(threads)
        spent = []
        for _ in range(rounds):
            began = clock()
            work()
            spent.append(clock() - began)
        best[threads] = min(spent)
    torch.set_num_threads(1)
    return Cost(best[1], best[2])


def processor(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def pictures(count: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 1000, (count,), generator=generator)
    names = tuple(str(number) for number in range(1000))
    return Dataset(images, labels, names, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "noise", "train")


def observed(model: nn.Module, network: Network, data: Dataset) -> list[Tensor]:
    """What one image makes every layer read, (C, H, W) each: the very maps that CHIP and HRank get."""
    found: list[Tensor] = []

    class Keeping(ChannelIndependence):
        def per_image(self, maps: Tensor) -> Tensor:
            found.append(maps[0].clone())
            return maps.new_zeros(maps.shape[:2])

    score(model, network, [Keeping()], data.subset(1, 0), images=1)
    return found


def chip_by_definition(maps: Sequence[Tensor]) -> float:
    """Seconds per image: one nuclear norm per channel left out, timed on a few channels of every layer and scaled."""
    total = 0.0
    for each in maps:
        rows = each.flatten(1)
        for channel in range(LEFT_OUT):
            without = rows.clone()
            without[channel] = 0
            total += processor(lambda m=without: torch.linalg.matrix_norm(m, "nuc")) * len(rows) / LEFT_OUT  # type: ignore[misc]
    return total


def hrank_by_definition(maps: Sequence[Tensor]) -> float:
    """Seconds per image: torch.linalg.matrix_rank of every map, timed on some of every layer and scaled."""
    total = 0.0
    for each in maps:
        some = each[:MAPS]
        total += processor(lambda m=some: [torch.linalg.matrix_rank(one) for one in m]) * len(each) / len(some)  # type: ignore[misc]
    return total


def page(model: nn.Module, network: Network, group: Group, quick: bool) -> list[tuple[str, Cost, str]]:
    """What the Similarity page computes for its hardest layers: (what, cost, the straightforward way)."""
    points = weight_rows(model, group)
    distances = EUCLIDEAN.distances(points)
    tree, ward = grow(distances), grow(distances, WARD)
    half = tree.split(group.size // 2)
    some = points[:256].numpy()
    pairs = processor(lambda: pdist(some)) * (group.size / len(some)) ** 2
    condensed = distances.numpy()[np.triu_indices(group.size, 1)]
    joined = processor(lambda: linkage(condensed, "average"))
    three = network.group(THREE)
    weight = dict(model.named_parameters())[three.producers[0].parameter]
    cut = kernels(weight, three.producers[0])
    one_by_one = processor(lambda: [linkage(cut[:, j].numpy(), "ward") for j in range(8)]) * cut.shape[1] / 8
    count = group.size // 2
    lloyd = processor(lambda: KMeans(32, n_init=1, random_state=0).fit(points.float().numpy()))
    name = f"{group.size:,} channels of {group.key} ({len(group.producers)} coupled layers)"
    rows = [
        (f"Distances of {name}", lambda: EUCLIDEAN.distances(points), f"scipy pdist {pairs:.2f}, scaled from 256 rows"),
        ("Average linkage of them", lambda: grow(distances), f"scipy {joined:.2f}"),
        (f"k-means, {count:,} clusters", lambda: k_means(ward, count), f"scikit-learn {lloyd:.2f} for 32 clusters"),
        ("Silhouette of one cut", lambda: silhouette(distances, half), "–"),
        ("Silhouettes of every cut", lambda: grow(distances).silhouettes, "with the linkage"),
        ("Keep one of each cluster", lambda: all_but_one(points, distances, half), "–"),
        ("Principal components", lambda: principal_components(points), "–"),
        ("Kernel view of the coupled layers", lambda: kernel_redundancy(model, group), "–"),
        (f"Kernel view of {THREE}", lambda: kernel_redundancy(model, three), "–"),
        (
            f"512 trees of 512 kernels of {THREE}",
            lambda: kernel_trees((cut,)),
            f"scipy {one_by_one:.2f}, scaled from 8 trees",
        ),
        ("Redundancy of the whole network", lambda: channel_redundancy(model, network), "–"),
    ]
    return [(what, cost(work, 1 if quick else 3), other) for what, work, other in rows]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds; nothing is written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    data = pictures(2 if quick else 4)
    network = capture(model, data.normalised(data.images[:1]))
    x = data.normalised(data.images)
    with torch.no_grad():
        forward = cost(lambda: model(x), 1 if quick else 3).processor / len(data)
    maps = observed(model, network, data)
    flat = [each.flatten(1) for each in maps]
    rounds = 1 if quick else 3
    chip = cost(lambda: [row_independence(rows) for rows in flat], rounds)
    hrank = cost(lambda: [ranks(each) for each in maps], rounds)
    defined = {"chip": chip_by_definition(maps), "hrank": hrank_by_definition(maps)}
    heavy = [
        ("CHIP, one image", f"{chip.processor:.2f}", f"{chip.wall:.2f}", f"{chip.processor / forward:.1f}",
         f"{defined['chip']:.0f}", f"{defined['chip'] / chip.processor:.0f}x"),
        ("HRank, one image", f"{hrank.processor:.2f}", f"{hrank.wall:.2f}", f"{hrank.processor / forward:.1f}",
         f"{defined['hrank']:.1f}", f"{defined['hrank'] / hrank.processor:.1f}x"),
        ("HRank, 500 images (500 times that of one)", f"{500 * hrank.processor:.0f}", f"{500 * hrank.wall:.0f}",
         f"{hrank.processor / forward:.1f}", f"{500 * defined['hrank']:.0f}",
         f"{defined['hrank'] / hrank.processor:.1f}x"),
    ]  # fmt: skip
    known = {ChannelIndependence: chip.processor, FeatureMapRank: hrank.processor}
    every = []
    for kind in CRITERIA:
        criterion = kind()
        began = time.process_time()
        verdict = score(model, network, [criterion], data if criterion.needs_images else None, images=len(data))
        spent = time.process_time() - began
        images = verdict[criterion].images
        own = f"{known[kind]:.2f} per image" if kind in known else ""
        every.append((criterion.card.name, str(images or "none"), f"{spent:.2f}", f"{spent / forward:.1f}", own))
        print(f"{criterion.card.name}: {spent:.2f}", flush=True)
    drawn = page(model, network, network.group(STAGE), quick)
    lines = [
        f"# Criteria and similarity on ResNet-50, 224 px, random weights ({datetime.date.today().isoformat()})",
        "",
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, two cores. Processor seconds of one "
        f"thread (least of {rounds}); wall seconds on",
        f"two threads. Unit: one forward pass of the same images, {forward:.2f} s per image. By definition: CHIP one "
        f"nuclear norm per channel left out, timed on {LEFT_OUT}",
        f"channels of every layer and scaled to all; HRank torch.linalg.matrix_rank map by map, on {MAPS} maps of "
        "every layer and scaled.",
        "",
        *table(("Heavy criteria, the measure alone", "s, one thread", "s, two threads", "forwards", "by definition (s)",
                "ahead"), heavy),
        "",
        f"Every criterion as the library scores it, alone, passes included, once; {len(data)} images if it needs any:",
        "",
        *table(("Criterion", "images", "s, one thread", "forward passes of one image", ""), every),
        "",
        "What the Similarity page computes for its hardest layers:",
        "",
        *table(("What", "s, one thread", "s, two threads", "straightforward, one thread (s)"),
               [(what, f"{spent.processor:.2f}", f"{spent.wall:.2f}", other) for what, spent, other in drawn]),
    ]  # fmt: skip
    print("\n".join(lines))
    if not quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
