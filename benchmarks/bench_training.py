"""Training here and in the loop that everybody writes: images per second, side by side in one run.

    python -m benchmarks.bench_training [--rounds 5] [--only NAME ...]

For each network an epoch of the plain loop and epochs of ours take turns, on the same images in memory and one thread;
processor seconds are counted, so that what else runs on the machine matters less, and which goes first changes. A ratio
is the median over rounds of ours over the plain loop in float32, with the least and the most beside it. Of ours it is
the time from the first batch to the last one, without what it sets up, keeps and measures; its memory layout is the one
that was measured before, as pages do, which is not in the time. Rows are written as soon as they are measured; without
--only those that were measured today are left out, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from benchmarks.bench_hooks import Row, now, rows_in, table
from pruning_core.datasets import DIGITS, DataRef, Dataset, load_splits
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.training.batches import augmented
from pruning_core.training.config import CONTIGUOUS, FineTune
from pruning_core.training.events import Epoch, Step
from pruning_core.training.layout import measured_layout
from pruning_core.training.loop import fine_tune
from pruning_core.zoo import DEMOS, load_model
from pruning_core.zoo.demos import demo
from pruning_core.zoo.vgg import VGG11, VggBn

RESULT = Path(__file__).parent / "results" / "training.md"
PLAIN, PLAIN_BF16, OURS, OURS_BF16 = "plain, float32", "plain, bfloat16", "ours, float32", "ours, bfloat16"
AIMS = {OURS: 1.25, OURS_BF16: 2.0}
Way = Callable[[], float]


@dataclass(frozen=True)
class Subject:
    """What is trained: on the first ``images`` training digits, in colour at ``pixels`` where it reads such."""

    name: str
    build: Callable[[], nn.Module]
    pixels: int
    images: int
    batch: int = 32
    optimizer: str = "sgd"
    grey: bool = False
    augment: str = "shift"

    @property
    def config(self) -> FineTune:
        return FineTune(
            epochs=1,
            lr=0.001,
            batch_size=self.batch,
            optimizer=self.optimizer,
            augment=self.augment,
            precision="float32",
            device="cpu",
        )

    def data(self) -> tuple[Dataset, Dataset]:
        """(what is trained on, two images to measure)."""
        train, test = load_splits(DIGITS if self.grey else DataRef("digits", "digits", test_fraction=0.3))
        if not self.grey:
            train, test = (part.fitted((3, self.pixels, self.pixels)) for part in (train, test))
        return train.subset(self.images), test.subset(2)


SUBJECTS = (
    Subject("the digits demo, 8 px", lambda: load_model(DEMOS[0].ref).model, 8, 512, 64, grey=True),
    Subject("ResNet-20, 32 px (the CIFAR demo)", lambda: load_model(demo("cifar_resnet20").ref).model, 32, 128, 64),
    Subject("VGG-11 with norms, 32 px", lambda: VggBn(VGG11), 32, 96),
    Subject("MobileNetV2, 64 px", lambda: torchvision.models.mobilenet_v2(num_classes=10), 64, 96),
    Subject("ViT, 64 tokens of 192, 6 blocks", lambda: vit(), 32, 96, optimizer="adamw"),
    Subject("ResNet-18, 64 px", lambda: torchvision.models.resnet18(num_classes=10), 64, 96),
)


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 4, 6, 3, 192, 768, num_classes=10)


def plain_epoch(model: nn.Module, data: Dataset, config: FineTune, mixed: bool = False) -> float:
    """The loop that everybody writes, with the same optimizer and the same augmentation; processor seconds."""
    if config.optimizer == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=5e-4)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    dice = torch.Generator().manual_seed(0)
    model.train()
    began = time.process_time()
    for places in torch.randperm(len(data), generator=dice).split(config.batch_size):
        x = data.normalised(augmented(data.images[places], config.augment, dice))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = model(x)
        F.cross_entropy(out.float(), data.labels[places]).backward()
        optimizer.step()
    return time.process_time() - began


def our_epoch(model: nn.Module, data: Dataset, few: Dataset, config: FineTune) -> float:
    """Processor seconds from where the network was first measured to the last step."""
    began = took = 0.0
    for event in fine_tune(model, data, few, config, held_out=few, keep="last"):
        match event:
            case Epoch(epoch=0):
                began = time.process_time()
            case Step():
                took = time.process_time() - began
    return took


def ways_of(subject: Subject) -> tuple[dict[str, Way], str]:
    """What takes turns by name, and the layout that ours has in float32."""
    torch.manual_seed(0)
    model, config = subject.build(), subject.config
    data, few = subject.data()
    found = measured_layout(model, data, config)
    layout = found.name if found is not None else CONTIGUOUS
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def fresh() -> nn.Module:
        model.load_state_dict(state)
        return model

    ways: dict[str, Way] = {
        PLAIN: lambda: plain_epoch(fresh(), data, config),
        OURS: lambda: our_epoch(fresh(), data, few, replace(config, layout=layout)),
    }
    if bfloat16_is_fast("cpu"):
        ways[PLAIN_BF16] = lambda: plain_epoch(fresh(), data, config, mixed=True)
        ways[OURS_BF16] = lambda: our_epoch(fresh(), data, few, replace(config, precision="bfloat16"))
    return ways, layout


def seconds_of(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Of every round; the first round is not counted, and which way goes first changes."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            seconds = ways[name]()
            if number:
                took[name].append(seconds)
    return took


# -- the table ---------------------------------------------------------------------------------------------------------

HEAD = (
    "network", "layout of ours", PLAIN, PLAIN_BF16, OURS, OURS_BF16, "ours over plain, both float32", "its range",
    "ours in bfloat16 over plain in float32", "its range, and over plain in bfloat16", "batches", "rounds", "measured",
    "load",
)  # fmt: skip


def ratio(took: dict[str, list[float]], way: str, over: str = PLAIN) -> tuple[float, float, float]:
    """(median, least, most) times as fast as ``over``, by round."""
    each = [theirs / ours for theirs, ours in zip(took[over], took[way])]
    return statistics.median(each), min(each), max(each)


def row_of(subject: Subject, took: dict[str, list[float]], layout: str) -> Row:
    def speed(way: str) -> str:
        return f"{subject.images / statistics.median(took[way]):.0f}" if way in took else "–"

    def told(way: str) -> tuple[str, str]:
        if way not in took:
            return "–", "–"
        middle, least, most = ratio(took, way)
        return f"**{middle:.2f}**" if middle >= AIMS[way] else f"{middle:.2f}", f"{least:.2f} to {most:.2f}"

    (single, single_span), (half, half_span) = told(OURS), told(OURS_BF16)
    if OURS_BF16 in took:
        half_span = f"{half_span}; {ratio(took, OURS_BF16, PLAIN_BF16)[0]:.2f}"
    rounds = f"{len(took[PLAIN])}"
    speeds = (speed(way) for way in (PLAIN, PLAIN_BF16, OURS, OURS_BF16))
    batches = f"{subject.batch}, {subject.optimizer}"
    return subject.name, layout, *speeds, single, single_span, half, half_span, batches, rounds, *now()


def written(path: Path, rows: list[Row]) -> None:
    """Put these rows into the table at ``path``; the others stay as they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    both = {**rows_in(text, HEAD), **{row[0]: row for row in rows}}
    ordered = [both[subject.name] for subject in SUBJECTS if subject.name in both]
    path.write_text("\n".join(["# How fast it trains", "", ABOUT, "", *table(HEAD, ordered), ""]), encoding="utf-8")


ABOUT = (
    f"`python -m benchmarks.bench_training`, {platform.machine()}, {os.cpu_count()} cores, 1 thread, torch "
    f"{torch.__version__}. Images per processor second (median), and ratios round by round: the median, the least and "
    "the most. Epochs take turns; the plain loop has the same images in memory, optimizer and augmentation. Of ours it "
    "is the time from the first batch to the last; its memory layout in float32 was measured before it, that in "
    "bfloat16 always is channels-last. Bold: at or above the aim, "
    f"{AIMS[OURS]:.2f} in float32 and {AIMS[OURS_BF16]:.0f} in bfloat16."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="beginnings of names; else all that were not measured today")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    text = asked.out.read_text(encoding="utf-8") if asked.out.exists() else ""
    done = {name for name, row in rows_in(text, HEAD).items() if row[-2] == now()[0]}
    for subject in SUBJECTS:
        wanted = subject.name not in done if asked.only is None else subject.name.startswith(tuple(asked.only))
        if wanted:
            ways, layout = ways_of(subject)
            row = row_of(subject, seconds_of(ways, asked.rounds), layout)
            written(asked.out, [row])
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
