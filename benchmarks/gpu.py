"""Everything that has a path through CUDA, run once on a GPU beside the processor: a table.

    python -m benchmarks.gpu [--device cuda:0] [--small] [--only PART ...] [--methods KEY ...] [--out FILE]

For whoever has a GPU: one command, which writes benchmarks/results/gpu.md and fails where anything failed. The parts:
training (images per second against a plain loop and against the copy bound, the speed at which batches of bytes can be
brought to the device at all), the sensitivity sweep, the slider, a fine-tuning, every method, and N:M on the kernels
that torch has for it. Each row says what came out on the device and, where it must be the same, on the processor. A
part that fails leaves its error in its row, and the others run. ``--device cpu --small`` takes seconds and shows that
the command itself works: a test runs it.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.methods import digits, row
from pruning_core.allocation.lowest import lowest
from pruning_core.analysis.sensitivity import Exact, Fast, sweep
from pruning_core.analysis.slider import Slider
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import Dataset, load_splits
from pruning_core.graph import Plan, capture
from pruning_core.measuring.device import choose_device, device_title
from pruning_core.measuring.measures import Cell
from pruning_core.methods.registry import METHODS
from pruning_core.sparsity.fitting import kept
from pruning_core.sparsity.patterns import NofM
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.training.config import FineTune
from pruning_core.training.events import TrainOutcome
from pruning_core.training.loop import fine_tune
from pruning_core.zoo import DEMOS, load_model

RESULT = Path(__file__).parent / "results" / "gpu.md"
RATIOS = (0.0, 0.25, 0.5, 0.75)
NEAR = 0.02  # of accuracy: what rounding on another device may change of a sweep or a training


@dataclass(frozen=True)
class Size:
    """How much is done: ``images`` of the digits, ``rounds`` in turns, ``epochs`` of a method, ``side`` of a matrix."""

    images: int
    rounds: int
    epochs: int
    side: int


WHOLE, SMALL = Size(1300, 5, 4, 8192), Size(96, 1, 1, 256)


@dataclass(frozen=True)
class Told:
    what: str
    found: str
    beside: str
    well: bool = True


@dataclass(frozen=True, eq=False)
class Bench:
    device: str
    size: Size
    methods: tuple[str, ...]
    model: nn.Module
    fit: Dataset
    test: Dataset

    @staticmethod
    def of(device: str, size: Size, methods: tuple[str, ...]) -> Bench:
        loaded = load_model(DEMOS[0].ref)
        train, test = (fitted(part, DEMOS[0].data, loaded) for part in load_splits(DEMOS[0].data))
        return Bench(
            device, size, methods, loaded.model, train.subset(min(size.images, len(train)), 0),
            test.subset(min(size.images, len(test)), 0),
        )  # fmt: skip

    # -- training --------------------------------------------------------------------------------------------------

    def training(self) -> Iterator[Told]:
        ways: dict[str, Callable[[], object]] = {
            "a plain loop, float32": lambda: self._plain(mixed=False),
            "a plain loop, bfloat16, channels-last": lambda: self._plain(mixed=True),
            "ours, float32": lambda: self._tuned(self.device, precision="float32"),
            "ours, as it comes": lambda: self._tuned(self.device),
            "the copy bound": self._copied,
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(1 + self.size.rounds):  # the first pays for kernels and is not counted
            for name, way in ways.items():
                seconds = self._seconds(way)
                if number:
                    found[name].append(len(self.fit) / seconds)
        first = statistics.median(next(iter(found.values())))
        for name, speeds in found.items():
            speed = statistics.median(speeds)
            yield Told(name, f"{speed:,.0f} images/s", f"{speed / first:.2f} times the first row")

    def _plain(self, *, mixed: bool) -> None:
        where = torch.device(self.device)
        model = load_model(DEMOS[0].ref).model.to(where).train()
        if mixed:
            model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4, nesterov=True)
        for places in torch.randperm(len(self.fit)).split(64):
            x, y = self.fit.normalised(self.fit.images[places].to(where)), self.fit.labels[places].to(where)
            optimizer.zero_grad()
            with torch.autocast(where.type, torch.bfloat16, enabled=mixed):
                out = model(x.contiguous(memory_format=torch.channels_last) if mixed else x)
            F.cross_entropy(out.float(), y).backward()
            optimizer.step()

    def _copied(self) -> None:
        """What no loop can be faster than that brings its batches to the device."""
        for places in torch.randperm(len(self.fit)).split(64):
            self.fit.images[places].to(self.device, copy=True)

    def _tuned(self, device: str, precision: str = "auto", epochs: int = 1) -> TrainOutcome:
        config = FineTune(epochs=epochs, lr=0.001, batch_size=64, precision=precision, device=device)
        few = self.test.subset(2)
        *_, outcome = fine_tune(
            self.model, self.fit, self.test if epochs > 1 else few, config, held_out=few, keep="last"
        )
        assert isinstance(outcome, TrainOutcome)
        return outcome

    # -- the same on both ------------------------------------------------------------------------------------------

    def tuning(self) -> Iterator[Told]:
        theirs, ours = (self._tuned(device, epochs=2).top1 for device in ("cpu", self.device))
        yield Told(
            "two epochs", f"{ours:.3f} of the test images", f"{theirs:.3f} on the CPU", abs(ours - theirs) <= NEAR
        )

    def sweeping(self) -> Iterator[Told]:
        network = capture(self.model, torch.zeros(1, *self.test.size))
        scores = score(self.model, network, [L1Norm()])[L1Norm()].values
        for name, mode in (("exact", Exact()), ("fast", Fast())):
            cells = {}
            for device in ("cpu", self.device):
                began = time.perf_counter()
                events = list(sweep(self.model, network, self.test, scores, RATIOS, mode=mode, device=device))
                ended = {(c.group, c.removed): c.top1 for c in events if isinstance(c, Cell)}
                cells[device] = ended, time.perf_counter() - began
            (theirs, slow), (ours, seconds) = cells["cpu"], cells[self.device]
            apart = max(abs(ours[cell] - theirs[cell]) for cell in theirs)
            near = name == "fast" or apart <= NEAR  # a fast sweep is an estimate on either
            yield Told(
                f"sweep, {name}", f"{seconds:.2f} s", f"{slow:.2f} s on the CPU; cells at most {apart:.3f} apart", near
            )

    def sliding(self) -> Iterator[Told]:
        network = capture(self.model, torch.zeros(1, *self.test.size))
        values = score(self.model, network, [L1Norm()])[L1Norm()].values
        group = network.groups[0]
        plan = Plan().with_group(group.key, lowest(values[group.key], group.size // 2))
        found = {}
        for device in ("cpu", self.device):
            slider = Slider(self.model, network, self.test, device=device)
            list(slider.measuring(Plan()))
            began = time.perf_counter()
            *_, answer = slider.measuring(plan)
            found[device] = answer.accuracy.top1, 1000 * (time.perf_counter() - began)
        (theirs, slow), (ours, ms) = found["cpu"], found[self.device]
        yield Told(
            "slider, one move", f"{ms:.0f} ms", f"{slow:.0f} ms on the CPU; {abs(ours - theirs):.3f} apart",
            abs(ours - theirs) <= NEAR,
        )  # fmt: skip

    def running(self) -> Iterator[Told]:
        """Every method to its end. One that cannot keep to the budget says so, which is no failure of the device."""
        config = FineTune(epochs=self.size.epochs, batch_size=64, device=self.device)
        ground = replace(digits(config.epochs), config=config)
        for each in METHODS:
            if self.methods and each.card.key not in self.methods:
                continue
            with TemporaryDirectory() as folder:
                began = time.perf_counter()
                try:
                    made = row(each.card.key, each(), ground, 0, Workspace(folder))
                except Exception as error:  # the others run
                    yield Told(each.card.name, _error(error), "", False)
                    continue
            after = f"{made['after']:.3f} of the test images" if "after" in made else str(made.get("why", "ended"))
            yield Told(each.card.name, f"{time.perf_counter() - began:.1f} s", after)

    def sparse(self) -> Iterator[Told]:
        """A 2:4 matrix times a dense one, by torch's semi-structured kernels beside the dense product."""
        side, where = self.size.side, torch.device(self.device)
        dtype = torch.float16 if where.type == "cuda" else torch.float32
        weight = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
        mask = kept(NofM(2, 4).levels({"w": weight.abs()[:, :, None, None]}), 1.0)["w"][:, :, 0, 0]
        dense, x = (weight * mask).to(where, dtype), torch.randn(side, 64).to(where, dtype)
        try:
            packed = torch.sparse.to_sparse_semi_structured(dense)
            apart = float((packed @ x - dense @ x).abs().max() / (dense @ x).abs().max())
        except (RuntimeError, NotImplementedError, ValueError) as error:
            yield Told(
                "2:4", f"no kernel here: {_error(error)}", "a GPU of compute capability 8.0", where.type != "cuda"
            )
            return
        times = {name: self._product(each, x) for name, each in (("dense", dense), ("2:4", packed))}
        yield Told(
            f"2:4, {side} x {side}", f"{1000 * times['2:4']:.3f} ms",
            f"{1000 * times['dense']:.3f} ms dense; {apart:.1e} apart", apart < 1e-2,
        )  # fmt: skip

    def _product(self, matrix: Tensor, x: Tensor) -> float:
        return statistics.median(self._seconds(lambda: matrix @ x) for _ in range(10 * self.size.rounds))

    def _seconds(self, work: Callable[[], object]) -> float:
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


PARTS: dict[str, Callable[[Bench], Iterator[Told]]] = {
    "training": Bench.training,
    "tuning": Bench.tuning,
    "sweep": Bench.sweeping,
    "slider": Bench.sliding,
    "methods": Bench.running,
    "sparse": Bench.sparse,
}


def _error(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}".replace("|", "/")


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args(given)
    bench = Bench.of(choose_device(asked.device), SMALL if asked.small else WHOLE, tuple(asked.methods))
    lines, well = [], True
    for part in asked.only:
        try:
            for told in PARTS[part](bench):
                well &= told.well
                lines.append(
                    f"| {part} | {told.what} | {told.found} | {told.beside} | {'yes' if told.well else 'NO'} |"
                )
                print(lines[-1], flush=True)
        except Exception as error:  # the other parts run
            well = False
            lines.append(f"| {part} | it | failed: {_error(error)} | | NO |")
            print(lines[-1], flush=True)
    head = [
        "# On a GPU", "",
        f"`python -m benchmarks.gpu`, {datetime.date.today()}, {device_title(bench.device)}, torch {torch.__version__}."
        f" The digits demo, {bench.size.images} images at most, batches of 64; times are of a clock, after the device "
        "was waited for.", "",
        "| part | what | on the device | beside it | well |", "|---|---|---|---|---|",
    ]  # fmt: skip
    asked.out.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
