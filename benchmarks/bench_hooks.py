"""What a method's part in a training step costs, and what the training loop costs beside a plain one, in one run.

    python -m benchmarks.bench_hooks [--pairs 9] [--only KEY ...]

ResNet-20 on digits of 32 pixels in colour, batches of 64, one thread; processor seconds are counted, so that what else
runs on the machine matters less. Of every method that takes part in a training, one hooked step and one plain step take
turns, each on the same batch; the ratio is the median over pairs, and beside it stands the fastest hooked step over the
fastest plain one, which a busy machine disturbs least. What a method does once an epoch or once a round is no part of
an ordinary step and is not in it. A method whose paper runs the network several times in a step is held to a plain step
that runs it as often (``PASSES``). Then whole epochs of the training loop beside a loop of eight lines.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.trained import digits
from pruning_core.allocation.budget import Budget
from pruning_core.datasets import Dataset
from pruning_core.graph import Network, capture
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Cut, FindWidths, Phase, Train
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import Setup, State
from pruning_core.training.batches import shuffled
from pruning_core.training.begun import Company
from pruning_core.training.config import FineTune
from pruning_core.training.distillation import ORIGIN
from pruning_core.training.hooks import Hook, Moment
from pruning_core.training.learner import Learner
from pruning_core.training.loop import fine_tune
from pruning_core.training.loss import CrossEntropy, Forward, Objective, ObjectiveSpec
from pruning_core.work import finished
from pruning_core.zoo import load_model
from pruning_core.zoo.demos import demo

RESULT = Path(__file__).parent / "results" / "hooks.md"
CONFIG = FineTune(epochs=1, lr=0.001, batch_size=64, device="cpu")
PIXELS = 32
LIGHT, HEAVY = 1.05, 1.30  # the aims: of penalties and masks, of gates and overrides
Step = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Ground:
    model: nn.Module
    network: Network
    setup: Setup
    batch: tuple[Tensor, Tensor]


def ground() -> Ground:
    loaded = load_model(demo("cifar_resnet20").ref)
    fit, test = digits(PIXELS)
    held_out = fit.subset(64)
    setup = Setup(fit, fit, held_out, test, CONFIG, device="cpu")
    batch = next(iter(shuffled(fit, CONFIG.batch_size, "none", 0, 1, "cpu")))
    return Ground(loaded.model, capture(loaded.model, torch.zeros(1, *loaded.input_size)), setup, batch)


@dataclass(frozen=True)
class Passes(ObjectiveSpec, Objective):
    """What runs in a step: the network forward and backward so many ``times``, and ``forward`` alone."""

    times: int = 1
    forward: int = 0

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        return self

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            for _ in range(self.forward):
                forward(x)
        losses = [F.cross_entropy(forward(x), y) for _ in range(self.times)]
        return torch.stack(losses).sum(), losses[0].detach()

    @property
    def text(self) -> str:
        both = f"{self.times} forward and backward" if self.times > 1 else "forward and backward"
        return both + (f", and {self.forward} forward" if self.forward else "")


PASSES = {
    "autoslim-trained": Passes(times=4),  # the sandwich rule: widest, narrowest, and two at random
    "gal": Passes(forward=1),  # the network as it was runs along
}


@dataclass(frozen=True)
class Taken:
    """A hooked step over a plain one; ``gates``: it exchanges weights, or runs the network several times.

    ``ratio`` is over a step of the paper's own ``passes``, ``single`` over a step of one.
    """

    name: str
    hooks: str
    gates: bool
    passes: Passes
    single: float
    ratio: float
    fastest: float
    low: float
    high: float


def training_of(phases: tuple[Phase, ...]) -> int | None:
    """The number of the first training that a method takes part in."""
    taking = (n for n, phase in enumerate(phases) if isinstance(phase, Train) and (phase.hooks or phase.objective))
    return next(taking, None)


def taken(method: Method, at: Ground, pairs: int) -> Taken | None:
    phases = tuple(method.phases(Goal(at.network, Budget("macs", fraction=0.6))))
    number = training_of(phases)
    if number is None:
        return None
    train = phases[number]
    assert isinstance(train, Train)
    before = tuple(phase for phase in phases[:number] if not isinstance(phase, Train | FindWidths | Cut))
    state = finished(perform(before, State.of(at.model, at.network), at.setup))
    learnt = {group.key: (torch.arange(group.size) % 2).double() for group in at.network.groups}
    specs = tuple(hook.given(state.learnt or learnt) for hook in train.hooks)
    with ExitStack() as stack:
        plain, _ = step_of(at.model, Company((), None, CrossEntropy(), {}), at, stack)
        passes = PASSES.get(method.card.key, Passes())
        own = plain if passes == Passes() else step_of(at.model, Company((), None, passes, {}), at, stack)[0]
        others = {ORIGIN: at.model, **{key: snap.model for key, snap in state.snapshots.items()}}
        company = Company(specs, state.network, train.objective or CrossEntropy(), others)
        hooked, learner = step_of(state.model, company, at, stack)
        gates = method.outcome is Outcome.DYNAMIC or bool(train.objective)
        took = in_turns((plain, own, hooked), pairs)
        gates |= bool(learner.hooks.overrides(Moment(learner.model, 1, 9, 1000, 0.3, CONFIG.lr)))  # once it has begun
    names = ", ".join(type(each).__name__ for each in train.hooks) or type(train.objective).__name__
    single, ratios = (statistics.median(over(took, hooked, plain)), over(took, hooked, own))
    fastest = min(took[hooked]) / min(took[own])
    return Taken(
        method.card.name, names, gates, passes, single, statistics.median(ratios), fastest, min(ratios), max(ratios)
    )


def step_of(model: nn.Module, company: Company, at: Ground, stack: ExitStack) -> tuple[Step, Learner]:
    learner = Learner(model, CONFIG, "cpu")
    learner.equip(*company.begin(learner.model, stack))
    x, y = at.batch
    moment = Moment(learner.model, 1, 0, 1000, 0.3, CONFIG.lr)
    learner.tell(Hook.epoch_start, moment, 0)
    return lambda number: learner.learn(x, y, replace(moment, step=number), number), learner


def in_turns(steps: tuple[Step, ...], rounds: int) -> dict[Step, list[float]]:
    """Processor seconds of every round by step, which are different ones or the same; which goes first changes."""
    took: dict[Step, list[float]] = {step: [] for step in steps}
    for number in range(1, 3 + rounds):
        for step in took if number % 2 else reversed(took):
            seconds = clocked(step, number)
            if number > 2:
                took[step].append(seconds)
    return took


def over(took: dict[Step, list[float]], step: Step, other: Step) -> list[float]:
    """One over the other, by round."""
    return [ours / theirs for ours, theirs in zip(took[step], took[other])]


def clocked(work: Step, number: int) -> float:
    began = time.process_time()
    work(number)
    return time.process_time() - began


# -- the loop ----------------------------------------------------------------------------------------------------------


def plain_epoch(model: nn.Module, data: Dataset, *, last: bool = False, fused: bool = False) -> None:
    """The loop that everybody writes. ``last``: pictures lie channels-last; ``fused``: the optimizer in one kernel."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=fused
    )
    model.train()
    if last:
        model.to(memory_format=torch.channels_last)
    for places in torch.randperm(len(data)).split(CONFIG.batch_size):
        x, y = data.normalised(data.images[places]), data.labels[places]
        optimizer.zero_grad()
        F.cross_entropy(model(x.contiguous(memory_format=torch.channels_last) if last else x), y).backward()
        optimizer.step()


def our_epoch(model: nn.Module, data: Dataset, few: Dataset, precision: str) -> None:
    """An epoch of the training loop; the two images that it is measured on cost nothing that counts."""
    list(fine_tune(model, data, few, replace(CONFIG, precision=precision), held_out=few, keep="last"))


def loops(at: Ground, rounds: int) -> dict[str, list[float]]:
    """Images per processor second, in turns."""
    assert at.setup.fit is not None and at.setup.test is not None
    data, few = at.setup.fit.subset(320), at.setup.test.subset(2)
    fresh = lambda: load_model(demo("cifar_resnet20").ref).model  # noqa: E731
    ways: dict[str, Callable[[], None]] = {
        "a plain loop, float32": lambda: plain_epoch(fresh(), data),
        "a plain loop, channels-last": lambda: plain_epoch(fresh(), data, last=True),
        "a plain loop, fused optimizer": lambda: plain_epoch(fresh(), data, fused=True),
        "ours, float32": lambda: our_epoch(fresh(), data, few, "float32"),
    }
    if bfloat16_is_fast("cpu"):
        ways["ours, bfloat16 (channels-last)"] = lambda: our_epoch(fresh(), data, few, "bfloat16")
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(len(data) / clocked(lambda _, way=way: way(), 0))
    return found


# -- the table ---------------------------------------------------------------------------------------------------------


def table(steps: list[Taken], speeds: dict[str, list[float]], pairs: int) -> str:
    plain = statistics.median(speeds["a plain loop, float32"])
    rows = [
        f"| {each.name} | {each.hooks} | {'gates, exchanged weights' if each.gates else 'penalty, mask'} "
        f"| {each.single:.2f} | {each.passes.text} | {each.ratio:.2f} | {each.fastest:.2f} "
        f"| {each.low:.2f} to {each.high:.2f} "
        f"| {'yes' if each.ratio <= aim(each) else 'no'} |"
        for each in sorted(steps, key=lambda each: each.ratio)
    ]
    whole = [
        f"| {name} | {statistics.median(each):.0f} | {statistics.median(each) / plain:.2f} |"
        for name, each in speeds.items()
    ]
    return "\n".join(
        [
            "# What hooks cost",
            "",
            f"`python -m benchmarks.bench_hooks`, {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} "
            f"cores, 1 thread, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}. ResNet-20 on digits of 32 "
            "pixels in colour, batches of 64. A hooked step over a plain one on the same batch, in processor seconds, "
            f"{pairs} rounds in turns: the median over a plain step, and over a plain step that runs the network as "
            "often as the paper itself does; of the latter also the fastest over the fastest (what a busy machine "
            f"disturbs least), and the least and the most. The aims for its median: {LIGHT:.2f} for penalties and "
            f"masks, {HEAVY:.2f} for gates and exchanged weights. What happens once an epoch or once a round is not "
            "in a step.",
            "",
            "| method | hooks | kind | over a plain step | the paper's passes | over those | fastest | range "
            "| within its aim |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "## The loop",
            "",
            "Whole epochs of 320 images, medians, in turns. Ours measures two images before and after it.",
            "",
            "| loop | images per processor second | over the plain loop |",
            "|---|---|---|",
            *whole,
            "",
        ]
    )


def aim(each: Taken) -> float:
    return HEAVY if each.gates else LIGHT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    at = ground()
    steps = []
    for each in METHODS:
        if asked.only is None or each.card.key in asked.only:
            found = taken(each(), at, asked.pairs)
            if found is not None:
                steps.append(found)
                print(f"{found.single:.2f}, of its passes {found.ratio:.2f}: {found.name}", flush=True)
    if asked.only is not None:
        return
    speeds = loops(at, 4)
    RESULT.write_text(table(steps, speeds, asked.pairs), encoding="utf-8")
    print(*(f"{statistics.median(each):7.0f} images/s  {name}" for name, each in speeds.items()), sep="\n")


if __name__ == "__main__":
    main()
