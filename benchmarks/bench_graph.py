"""Groups and removal of every torchvision classifier beside Torch-Pruning, side by side in one run.

    python -m benchmarks.bench_graph [--quick] [NAME ...]

Every network and tool has a process of its own, with one thread. The fastest of several runs counts, which other work
on the machine disturbs least; memory is the peak beyond the loaded network (and beyond the copy of it that
Torch-Pruning is given, because it cuts in place). What Torch-Pruning removes is its uniform pruner with random
importance at one half; ours is a random half of every exact group, proof included.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import datetime
import gc
import math
import multiprocessing
import platform
import resource
import signal
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch_pruning
import torchvision
from torch import Tensor, nn

from pruning_core.graph import Plan, capture, remove
from pruning_core.graph.removing.surgery import cut

RESULT = Path(__file__).parent / "results" / "graph.md"
NAMES = tuple(torchvision.models.list_models(module=torchvision.models))
QUICK = ("resnet18", "mobilenet_v3_small", "densenet121", "vit_b_32", "shufflenet_v2_x1_0")
LIMIT = 90  # processor seconds for one tool and one network
MEMORY = 12 << 30  # bytes for one tool and one network, the network itself included


@dataclass(frozen=True)
class Measured:
    """Seconds by the clock; ``megabytes`` beyond the network. ``failed`` says what went wrong, if anything."""

    groups_s: float = 0.0
    removal_s: float = 0.0
    cut_s: float = 0.0
    megabytes: float = 0.0
    failed: str = ""


def fastest(work: Callable[..., object], prepare: Callable[[], tuple[object, ...]] = tuple) -> float:
    """Seconds by the clock: the least of as many as take a second, ten at most; what ``prepare`` gives is not timed."""
    spent: list[float] = []
    while sum(spent) < 1 and len(spent) < 10:
        given = prepare()
        began = time.perf_counter()
        work(*given)
        spent.append(time.perf_counter() - began)
    return min(spent)


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    pixels = 299 if name == "inception_v3" else 224
    return torchvision.models.get_model(name, weights=None, **extra).eval(), torch.randn(1, 3, pixels, pixels)


def memory(field: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at the most."""
    line = next(row for row in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if field in row)
    return int(line.split()[1]) / 1024


def forget_peak() -> float:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory("VmRSS")


def ours(name: str) -> Measured:
    model, x = built(name)
    before = forget_peak()
    seconds = fastest(lambda: capture(model, x))
    network = capture(model, x)
    rng = np.random.default_rng(0)
    plan = Plan({g.key: rng.choice(g.size, g.size // 2, replace=False).tolist() for g in network.groups if g.exact})
    cutting = fastest(lambda: cut(model, network, plan))
    removal = fastest(lambda: remove(model, network, plan))
    return Measured(seconds, removal, cutting, memory("VmHWM") - before)


def peer(name: str) -> Measured:
    model, x = built(name)
    before = forget_peak()
    heads = [m for m in model.modules() if 1000 in (getattr(m, "out_features", 0), getattr(m, "out_channels", 0))]

    def groups() -> None:
        graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=x)
        list(graph.get_all_groups(ignored_layers=heads))

    def pruner() -> tuple[object, ...]:
        made.clear()
        gc.collect()  # what it builds holds itself
        made.append(copy.deepcopy(model))
        ours = dict(model.named_modules())
        theirs = dict(made[-1].named_modules())
        kept = [theirs[name] for name, module in ours.items() if any(module is head for head in heads)]
        importance = torch_pruning.importance.RandomImportance()
        return (torch_pruning.pruner.BasePruner(made[-1], x, importance, pruning_ratio=0.5, ignored_layers=kept),)

    seconds = fastest(groups)
    made: list[nn.Module] = []
    removal = fastest(lambda each: each.step(), pruner)
    whole, model = model, made[-1]
    copied = sum(t.numel() * t.element_size() for t in whole.state_dict().values()) / 2**20
    found = Measured(seconds, removal, removal, memory("VmHWM") - before - copied)
    try:
        with torch.no_grad():
            model.eval()(x)
    except Exception as error:
        return dataclasses.replace(found, failed=f"what it makes does not run ({type(error).__name__})")
    return found


TOOLS = {"ours": ours, "peer": peer}


def alone(tool: str, name: str, answer: Connection) -> None:
    """In a process of its own, which gives back all memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + LIMIT, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    try:
        answer.send(TOOLS[tool](name))
    except Exception as error:
        answer.send(Measured(failed=type(error).__name__))


def measured(tool: str, name: str) -> Measured:
    """Forked, so that imports and what is compiled at a first use are not counted."""
    context = multiprocessing.get_context("fork")
    ours_end, theirs_end = context.Pipe(duplex=False)
    process = context.Process(target=alone, args=(tool, name, theirs_end))
    process.start()
    theirs_end.close()
    try:
        return ours_end.recv()
    except EOFError:
        process.join()
        return Measured(failed=f"not done in {LIMIT} s" if process.exitcode == -signal.SIGXCPU else "ended by itself")
    finally:
        process.join()


def cells(name: str, we: Measured, they: Measured) -> str:
    def numbers(m: Measured) -> list[str]:
        if not m.groups_s:
            return [m.failed, "", ""]
        return [f"{m.groups_s:.3f}", m.failed or f"{m.removal_s:.2f}", f"{m.megabytes:.0f}"]

    def ratio(a: float, b: float) -> str:
        return f"{b / a:.1f}x" if a and b else ""

    return " | ".join(
        [
            f"| {name}",
            *numbers(we)[:1],
            *numbers(they)[:1],
            ratio(we.groups_s, they.groups_s),
            f"{we.cut_s:.2f} + {we.removal_s - we.cut_s:.2f}" if we.removal_s else we.failed,
            numbers(they)[1],
            "" if they.failed else ratio(we.cut_s, they.removal_s),
            "" if they.failed else ratio(we.removal_s, they.removal_s),
            numbers(we)[2],
            numbers(they)[2] + " |",
        ]
    )


COLUMNS = (
    "network",
    "groups (s)",
    "theirs",
    "ahead",
    "cut + proof (s)",
    "their removal",
    "cut ahead",
    "cut and proof ahead",
    "memory (MB)",
    "theirs ",
)


def summary(found: dict[str, tuple[Measured, Measured]]) -> list[str]:
    both = [(a, b) for a, b in found.values() if a.groups_s and b.groups_s]
    whole = [(a, b) for a, b in found.values() if not a.failed and b.removal_s and not b.failed]
    graphs = sorted(b.groups_s / a.groups_s for a, b in both)
    cuts = sorted(b.removal_s / a.cut_s for a, b in whole)
    all_of_it = sorted((b.groups_s + b.removal_s) / (a.groups_s + a.removal_s) for a, b in whole)
    slowest = max(found, key=lambda n: found[n][0].groups_s)
    return [
        f"* Groups: ours for {sum(not a.failed for a, _ in found.values())} of {len(found)} networks, "
        f"theirs for {len(both)}; {_ahead(graphs)}",
        f"* The slowest of ours is {slowest} with {found[slowest][0].groups_s:.2f} s.",
        f"* Their removal completes and runs for {len(whole)}; our cut without its proof is there {_ahead(cuts)}",
        f"* Groups, cut and proof against their groups and removal without one: {_ahead(all_of_it)}",
    ]


def _ahead(ratios: list[float]) -> str:
    if not ratios:
        return "nothing to compare."
    behind = sum(r < 1 for r in ratios)
    return f"{statistics.median(ratios):.1f}x ahead in the median, {ratios[0]:.2f}x at the least ({behind} behind)."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tool in TOOLS.values():
            tool("squeezenet1_1")
    found = {}
    for name in options.names or (QUICK if options.quick else NAMES):
        found[name] = measured("ours", name), measured("peer", name)
        print(cells(name, *found[name]), flush=True)
    lines = [
        f"# Groups and removal beside Torch-Pruning {version('torch-pruning')}",
        "",
        f"{datetime.date.today().isoformat()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{platform.machine()} CPU, one thread, "
        f"seconds by the clock, the fastest of up to ten runs. One image of 224 px (inception_v3: 299), float32.",
        f"{len(found)} of torchvision's {len(NAMES)} classifiers. Memory: the peak beyond the loaded network.",
        "",
        *summary(found),
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *(cells(name, *pair) for name, pair in found.items()),
    ]
    print("\n".join(lines[:10]))
    if not options.quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
