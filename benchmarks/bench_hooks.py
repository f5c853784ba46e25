"""What a method's part in a training step costs, and what the training loop costs beside a plain one, in one run.

    python -m benchmarks.bench_hooks [--pairs 9] [--only KEY ...] [--wide]

Every row is written as soon as it is measured, with the day and the load; without --only those that were measured today
in quiet (a load of at most the number of cores) are left out, so that an interrupted run goes on.

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
import torchvision
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
from pruning_core.training.config import CHANNELS_LAST, CONTIGUOUS, FineTune
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
WIDE = ", ResNet-18"  # behind the names of rows of --wide
PLAIN = "a plain loop, float32"
LIGHT, HEAVY = 1.05, 1.30  # the aims: of penalties and masks, of gates and overrides
Step = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Ground:
    model: nn.Module
    network: Network
    setup: Setup
    batch: tuple[Tensor, Tensor]


def ground(wide: bool = False) -> Ground:
    """ResNet-20, or one with layers of 64 to 512 channels."""
    pixels, size = (64, 16) if wide else (PIXELS, CONFIG.batch_size)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10).eval() if wide else load_model(demo("cifar_resnet20").ref).model
    fit, test = digits(pixels)
    held_out = fit.subset(64)
    setup = Setup(fit, fit, held_out, test, CONFIG, device="cpu")
    batch = next(iter(shuffled(fit, size, "none", 0, 1, "cpu")))
    return Ground(model, capture(model, torch.zeros(1, 3, pixels, pixels)), setup, batch)


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


def our_epoch(model: nn.Module, data: Dataset, few: Dataset, **settings: str) -> None:
    """An epoch of the training loop; the two images that it is measured on cost nothing that counts."""
    list(fine_tune(model, data, few, replace(CONFIG, **settings), held_out=few, keep="last"))


def loops(at: Ground, rounds: int) -> dict[str, list[float]]:
    """Images per processor second, in turns."""
    assert at.setup.fit is not None and at.setup.test is not None
    data, few = at.setup.fit.subset(320), at.setup.test.subset(2)
    fresh = lambda: load_model(demo("cifar_resnet20").ref).model  # noqa: E731
    ways: dict[str, Callable[[], None]] = {
        PLAIN: lambda: plain_epoch(fresh(), data),
        "a plain loop, channels-last": lambda: plain_epoch(fresh(), data, last=True),
        "a plain loop, fused optimizer": lambda: plain_epoch(fresh(), data, fused=True),
        "ours, contiguous": lambda: our_epoch(fresh(), data, few, layout=CONTIGUOUS),
        "ours, channels-last": lambda: our_epoch(fresh(), data, few, layout=CHANNELS_LAST),
    }
    if bfloat16_is_fast("cpu"):
        ways["ours, bfloat16 (channels-last)"] = lambda: our_epoch(fresh(), data, few, precision="bfloat16")
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(len(data) / clocked(lambda _, way=way: way(), 0))
    return found


# -- the table ---------------------------------------------------------------------------------------------------------

HEAD = (
    "method", "hooks", "kind", "over a plain step", "the paper's passes", "over those", "fastest", "range",
    "within its aim", "rounds", "measured", "load",
)  # fmt: skip
LOOPS = ("loop", "images per processor second", "over the plain loop", "measured", "load")
LOOP = "loop"  # what --only calls the second table
Row = tuple[str, ...]


def row_of(each: Taken, pairs: int) -> Row:
    kind = "gates, exchanged weights" if each.gates else "penalty, mask"
    figures = f"{each.single:.2f}", each.passes.text, f"{each.ratio:.2f}", f"{each.fastest:.2f}"
    span = f"{each.low:.2f} to {each.high:.2f}", "yes" if each.ratio <= aim(each) else "no"
    return each.name, each.hooks, kind, *figures, *span, f"{pairs}", *now()


def loop_rows(speeds: dict[str, list[float]]) -> list[Row]:
    plain = statistics.median(speeds[PLAIN])
    found = {name: statistics.median(each) for name, each in speeds.items()}
    return [(name, f"{speed:.0f}", f"{speed / plain:.2f}", *now()) for name, speed in found.items()]


def now() -> Row:
    """When, and how much else ran."""
    return f"{datetime.date.today()}", f"{os.getloadavg()[0]:.1f}"


def fresh(row: Row) -> bool:
    """Whether it was measured today, and alone."""
    *_, day, load = row
    return day == now()[0] and load.replace(".", "").isdigit() and float(load) <= (os.cpu_count() or 1)


def rows_in(text: str, head: Row) -> dict[str, Row]:
    """First cell -> row, of the table in ``text`` that has these columns."""
    lines = text.splitlines()
    first = _line(head)
    if first not in lines:
        return {}
    rest = lines[lines.index(first) + 2 :]
    cells = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in _leading(rest)]
    return {row[0]: row for row in cells if len(row) == len(head)}


def _leading(lines: list[str]) -> list[str]:
    """Those of a table that begins here."""
    end = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return lines[:end]


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def written(path: Path, steps: list[Row], loops: list[Row]) -> None:
    """Put these rows into the tables at ``path``; the others stay as they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    both = {**rows_in(text, HEAD), **{row[0]: row for row in steps}}
    ordered = sorted(both.values(), key=lambda row: float(row[5]))
    speeds = list({**rows_in(text, LOOPS), **{row[0]: row for row in loops}}.values())
    parts = ["# What hooks cost", "", ABOUT, "", *table(HEAD, ordered), "", "## The loop", "", ABOUT_LOOP, ""]
    path.write_text("\n".join([*parts, *table(LOOPS, speeds), ""]), encoding="utf-8")


def table(head: Row, rows: list[Row]) -> list[str]:
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows)]


def aim(each: Taken) -> float:
    return HEAVY if each.gates else LIGHT


ABOUT = (
    f"`python -m benchmarks.bench_hooks`, {platform.machine()}, {os.cpu_count()} cores, 1 thread, torch "
    f"{torch.__version__}. ResNet-20 on digits of 32 pixels in colour, batches of 64. A hooked step over a plain one "
    "on the same batch, in processor seconds, in turns: the median over a plain step, and over a plain step that runs "
    "the network as often as the paper itself does; of the latter also the fastest over the fastest (what a busy "
    "machine disturbs least), and the least and the most. The aims for its median: "
    f"{LIGHT:.2f} for penalties and masks, {HEAVY:.2f} for gates and exchanged weights. What happens once an epoch or "
    "once a round is not in a step. Every row says when it was measured and how much else ran: at a load above the "
    "number of cores a few hundredths are noise. Rows of ResNet-18 are at 64 pixels in batches of 16 (`--wide`). "
    "Channel gating computes every convolution in two parts, with a batch norm between them: of 16 channels two parts "
    "alone cost nearly two convolutions, of 256 hardly more than one."
)
ABOUT_LOOP = (
    "Whole epochs of 320 images, medians, in turns. Ours measures two images before and after it. Which layout ours "
    "takes is measured before a training starts, and is part of its settings."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument(
        "--only", nargs="*", help=f"keys of methods, or {LOOP}; else all that were not measured today in quiet"
    )
    parser.add_argument("--wide", action="store_true", help="ResNet-18 at 64 pixels, batches of 16, and no loops")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    at = ground(asked.wide)
    text = asked.out.read_text(encoding="utf-8") if asked.out.exists() else ""
    done = {row[0] for head in (HEAD, LOOPS) for row in rows_in(text, head).values() if fresh(row)}
    for each in METHODS:
        name = each.card.name + (WIDE if asked.wide else "")
        wanted = each.card.key in asked.only if asked.only is not None else name not in done
        found = taken(each(), at, asked.pairs) if wanted else None
        if found is not None:
            found = replace(found, name=name)
            written(asked.out, [row_of(found, asked.pairs)], [])
            print(f"{found.single:.2f}, of its passes {found.ratio:.2f}: {found.name}", flush=True)
    if not asked.wide and (LOOP in asked.only if asked.only is not None else PLAIN not in done):
        speeds = loops(at, 4)
        written(asked.out, [], loop_rows(speeds))
        print(*(f"{statistics.median(each):7.0f} images/s  {name}" for name, each in speeds.items()), sep="\n")


if __name__ == "__main__":
    main()
