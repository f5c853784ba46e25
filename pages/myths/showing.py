"""Live demonstrations for myths: each measures on the demo network, or computes the example, when it is asked for."""

from __future__ import annotations

import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from pages.ui import bars, charts, engine, numbers, provenance
from pages.ui.demo import COUNTED, Demo, Shown
from pruning_core.analysis import one_layer
from pruning_core.analysis.slider import Slider
from pruning_core.criteria import ActivationMean, GeometricMedian, L1Norm
from pruning_core.graph import Plan, remove
from pruning_core.graph.edits import Drop, edited
from pruning_core.measuring.beside import timed_in_turns
from pruning_core.measuring.measures import Latency
from pruning_core.methods.blocks import removable
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

COMPUTED = provenance.derived("computed here from the example")


def exact_zeros(demo: Demo) -> Shown:
    weights = one_layer.layers(demo.model, demo.network)
    zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
    figure = bars.bars(
        list(zeros), list(zeros.values()), alt="Weights that are exactly zero, by layer.", x_title="Exact zeros"
    )
    total = sum(weight.numel() for weight in weights.values())
    return Shown(figure, {"zeros": f"{sum(zeros.values()):,}", "weights": f"{total:,}"}, (COUNTED,))


def time_and_macs(demo: Demo) -> Shown:
    plan = demo.cut(demo.ranks(L1Norm()), 0.5)
    models = {"whole": demo.model, "cut": remove(demo.model, demo.network, plan).model.eval()}
    x = torch.randn(64, *demo.network.example_shapes[0][1:], generator=torch.Generator().manual_seed(0))
    times = timed_in_turns(models, x)
    left = {
        "MACs": demo.network.cost(plan).macs / demo.network.cost().macs,
        "time": times["cut"].median_ms / times["whole"].median_ms,
    }
    figure = bars.bars(
        list(left), list(left.values()), alt="What is left when every layer loses half of its channels.",
        x_title="Left of the whole network", percent=True,
    )  # fmt: skip
    values = {name.lower(): numbers.percent(value, 0) for name, value in left.items()}
    return Shown(figure, values, (COUNTED, _timed(times["whole"])))


def _timed(each: Latency) -> provenance.Provenance:
    return provenance.measured(
        f"random images, batches of {each.batch_size}, {each.runs} passes in turns",
        device=f"{each.device}, {each.threads} thread{'' if each.threads == 1 else 's'}",
    )


def nearest_or_farthest(demo: Demo) -> Shown:
    key = demo.widest.key
    near = demo.cut(demo.ranks(GeometricMedian()), 0.5, (key,))
    far = Plan({key: sorted(set(range(demo.widest.size)) - set(near[key]))})
    found = {
        "nearest go (the paper)": demo.measured(near).accuracy,
        "nearest stay (the code)": demo.measured(far).accuracy,
    }
    figure = bars.bars(
        list(found), [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt="Accuracy with half of one layer gone.", x_title="Accuracy",
        percent=True,
    )  # fmt: skip
    right, wrong = (numbers.percent(each.top1) for each in found.values())
    return Shown(figure, {"layer": key, "right": right, "wrong": wrong}, (demo.source(),))


def each_layer(demo: Demo) -> Shown:
    ranks = demo.ranks(L1Norm())
    lost = {group.key: demo.measured(demo.cut(ranks, 0.5, (group.key,))).drop.drop for group in demo.groups}
    figure = bars.bars(
        list(lost), list(lost.values()), alt="Accuracy lost when a layer loses half of its channels, in network order.",
        x_title="Accuracy lost", percent=True,
    )  # fmt: skip
    order = spearmanr(range(len(lost)), list(lost.values())).statistic
    values = {"order": f"{float(order):.2f}"}
    return Shown(figure, values, (demo.source("One layer at a time, by the L1 norm."),))


def before_the_relu(demo: Demo) -> Shown:
    conv, norm = demo.model.get_submodule("conv1"), demo.model.get_submodule("bn1")
    images, _ = demo.parts()
    with torch.no_grad():
        x = images.normalised(images.images[:64], torch.float32)
        made = conv(x)
        after = F.relu(norm(made))
    zeros = {"output of the convolution": _zeros(made), "after norm and ReLU": _zeros(after)}
    figure = bars.bars(
        list(zeros), list(zeros.values()), alt="Share of zeros before and after the ReLU.", x_title="Share of zeros",
        percent=True,
    )  # fmt: skip
    before, then = (numbers.percent(value) for value in zeros.values())
    source = provenance.measured("64 images of the fitted part, first layer of the demo network", images=64)
    return Shown(figure, {"before": before, "after": then}, (source,))


def _zeros(values: Tensor) -> float:
    return float((values == 0).double().mean())


def soft_threshold(demo: Demo) -> Shown:
    """A scale whose loss is (g - 0.02)^2 / 2, pulled by an L1 term of 0.1: where does it end?"""
    rate, pull = 0.1, 0.1
    sub = prox = 0.5
    rows = []
    for step in range(121):
        rows += [(step, sub, "gradient steps"), (step, prox, "proximal steps (ISTA)")]
        sub -= rate * ((sub - 0.02) + pull * (1 if sub > 0 else -1 if sub < 0 else 0))
        v = prox - rate * (prox - 0.02)
        prox = max(abs(v) - rate * pull, 0.0) * (1 if v > 0 else -1)
    frame = pd.DataFrame(rows, columns=["step", "scale", "by"])
    figure = charts.curves(
        frame.rename(columns={"step": "epoch", "by": "run"}), y="scale", y_title="Scale",
        alt="A scale under an L1 term, by gradient steps and by proximal steps.",
    )  # fmt: skip
    figure.update_xaxes(title="Step")
    ends = frame[frame["by"] == "gradient steps"]["scale"].tail(20).abs()
    values = {"least": f"{ends.min():.4f}", "most": f"{ends.max():.4f}", "prox": f"{abs(prox):g}"}
    return Shown(figure, values, (COMPUTED,))


def weights_or_filters(demo: Demo) -> Shown:
    slider = engine.of(demo.desk, demo.network)
    assert isinstance(slider, Slider)
    weights = one_layer.layers(demo.model, demo.network)
    inner = {key: weights[key] for key in demo.inner if key in weights}
    found = {}
    for grain in (Grain.ELEMENT, Grain.KERNEL, Grain.FILTER):
        masks = {key: grains.mask(grain, weight, 0.5) for key, weight in inner.items()}
        found[f"{grain.value}s"] = slider.instead(one_layer.masked(demo.model, masks)).accuracy
    figure = bars.bars(
        list(found), [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt="Accuracy with half of the weights zero, by granularity.",
        x_title="Accuracy", percent=True,
    )  # fmt: skip
    values = {name: numbers.percent(each.top1) for name, each in found.items()}
    return Shown(
        figure, values, (demo.source("Half of the weights of the layers inside the blocks, without training."),)
    )


def blocks(demo: Demo) -> Shown:
    slider = engine.of(demo.desk, demo.network)
    assert isinstance(slider, Slider)
    able = [block.name for block in removable(demo.model, demo.network)]
    whole = demo.measured(Plan()).accuracy
    found = {
        "whole": whole,
        **{f"without {name}": slider.instead(edited(demo.model, (Drop(name),))).accuracy for name in able},
    }
    figure = bars.bars(
        list(found), [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt="Accuracy without each block that can leave.",
        x_title="Accuracy", percent=True,
    )  # fmt: skip
    parents = sorted({name.rpartition(".")[0] for name, _ in demo.model.named_modules() if name.endswith(".conv1")})
    values = {
        "able": ", ".join(able),
        "blocks": str(len(parents)),
        "left": numbers.percent(list(found.values())[-1].top1),
    }
    return Shown(figure, values, (demo.source("Without training."),))


def small_answers(demo: Demo) -> Shown:
    group = demo.network.group(demo.inner[0])
    means = demo.ranks(ActivationMean())[group.key].tolist()
    before = demo.measured(Plan()).accuracy.loss
    rise = [demo.measured(Plan({group.key: [unit]})).accuracy.loss - before for unit in range(group.size)]
    figure = bars.points(
        means, rise, [f"channel {unit}" for unit in range(group.size)],
        alt=f"Mean activation of the channels of {group.key} against the loss gained without each.",
        x_title="Mean activation", y_title="Loss gained without it, nats",
    )  # fmt: skip
    values = {"layer": group.key, "agreement": f"{float(spearmanr(means, rise).statistic):.2f}"}
    return Shown(figure, values, (demo.source("Each channel alone."),))


def skipping(demo: Demo) -> Shown:
    weights = one_layer.layers(demo.model, demo.network)
    name = max(weights, key=lambda each: weights[each].numel() if weights[each].dim() == 4 else 0)
    row = next(each for each in demo.network.layer_costs() if each.name == name)
    layer: nn.Module = demo.model.get_submodule(name)
    times = one_layer.timed(layer, row.shape_in, grains.mask(Grain.ELEMENT, weights[name], 0.75), row.macs)
    figure = bars.bars(
        list(times), [each.median_ms for each in times.values()], low=[each.p10_ms for each in times.values()],
        high=[each.p90_ms for each in times.values()], alt=f"Time of {name} with three quarters of its weights zero.",
        x_title="Time of one pass, ms",
    )  # fmt: skip
    values = {"layer": name, "dense": numbers.milliseconds(times[one_layer.DENSE].median_ms),
              "zeros": numbers.milliseconds(times[one_layer.MASKED].median_ms),
              "skipped": numbers.milliseconds(times[one_layer.SKIPPED].median_ms)}  # fmt: skip
    return Shown(figure, values, (_timed(times[one_layer.DENSE]),))


def counting_norm(demo: Demo) -> Shown:
    name, weight = next((n, w) for n, w in one_layer.layers(demo.model, demo.network).items() if n == demo.widest.key)
    counts = (weight.detach().flatten(1) != 0).sum(1)
    norms = weight.detach().flatten(1).abs().sum(1)
    different = {"L0 (weights that are not zero)": len(counts.unique()), "L1 norm": len(norms.unique())}
    figure = bars.bars(
        list(different), list(different.values()), alt=f"Different scores among the {len(weight)} filters of {name}.",
        x_title="Different scores",
    )  # fmt: skip
    values = {
        "layer": name,
        "filters": str(len(weight)),
        "zero": str(len(counts.unique())),
        "one": str(len(norms.unique())),
    }
    return Shown(figure, values, (COUNTED,))


def temperature(demo: Demo) -> Shown:
    distances = torch.tensor([0.0, 0.4, 0.7, 1.0])
    rows = {f"t = {t:g}": float(torch.softmax(-distances / t, 0).max()) for t in (0.01, 0.1, 1.0, 10.0, 100.0)}
    figure = bars.bars(
        list(rows), list(rows.values()), alt="Largest probability of softmax(-D / t).", x_title="Largest probability"
    )
    low, high = next(iter(rows.values())), list(rows.values())[-1]
    return Shown(figure, {"cold": f"{low:.2f}", "hot": f"{high:.2f}"}, (COMPUTED,))
