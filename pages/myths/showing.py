"""Live demonstrations for myths: each measures on the demo network, or computes the example, when it is asked for."""

from __future__ import annotations

import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from pages.ui import bars, charts, engine, latencies, numbers, provenance
from pages.ui.demo import COUNTED, Demo, Shown
from pages.ui.language import N_, _, said
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

COMPUTED = provenance.derived(N_("computed here from the example."))


SMALL = (0.01, 0.1)  # parts of the largest weight of a layer
ONES = {Grain.ELEMENT: N_("elements"), Grain.KERNEL: N_("kernels"), Grain.FILTER: N_("filters")}


def exact_zeros(demo: Demo) -> Shown:
    weights = one_layer.layers(demo.model, demo.network)
    total = sum(weight.numel() for weight in weights.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    shares = {
        part: sum(int((weight.abs() < part * weight.abs().max()).sum()) for weight in weights.values())
        for part in SMALL
    }
    names = [
        _("exactly zero"),
        *(_("smaller than {part} of the largest in its layer").format(part=numbers.percent(part, 0)) for part in SMALL),
        _("all weights"),
    ]
    counts = [zeros, *shares.values(), total]
    figure = bars.bars(
        names, counts, alt=_("Weights by their size."), x_title=_("Weights"),
        marked=[True] + [False] * (len(SMALL) + 1), told=[f"{count:,}" for count in counts],
    )  # fmt: skip
    values = {"zeros": f"{zeros:,}", "weights": f"{total:,}", "small": f"{shares[SMALL[0]]:,}"}
    return Shown(figure, values, (COUNTED,))


def time_and_macs(demo: Demo) -> Shown:
    plan = demo.half()
    models = {"whole": demo.model, "cut": remove(demo.model, demo.network, plan).model.eval()}
    x = torch.randn(64, *demo.network.example_shapes[0][1:], generator=torch.Generator().manual_seed(0))
    times = timed_in_turns(models, x)
    macs, cut = demo.left(plan), times["cut"]
    time = (0.0, 0.0, 0.0) if cut.unsure else (cut.share, cut.low, cut.high)
    figure = bars.bars(
        [_("MACs"), _("time")], [macs, time[0]], low=[macs, time[1]], high=[macs, time[2]],
        alt=_("What is left when every layer loses half of its channels."), x_title=_("Left of the whole network"),
        percent=True, told=[numbers.percent(macs, 0), latencies.share(cut)],
    )  # fmt: skip
    values = {"macs": numbers.percent(macs, 0), "time": latencies.share(cut)}
    return Shown(figure, values, (COUNTED, _timed(times["whole"])), latencies.unclear_share(cut))


def _timed(each: Latency) -> provenance.Provenance:
    return provenance.measured(
        _("random images, batches of {n}, {passes} passes in turns").format(n=each.batch_size, passes=each.runs),
        device=provenance.processor(each.device, each.threads),
    )


def nearest_or_farthest(demo: Demo) -> Shown:
    key = demo.widest.key
    near = demo.cut(demo.ranks(GeometricMedian()), 0.5, (key,))
    far = Plan({key: sorted(set(range(demo.widest.size)) - set(near[key]))})
    found = {
        _("nearest go (the paper)"): demo.measured(near).accuracy,
        _("nearest stay (the code)"): demo.measured(far).accuracy,
    }
    figure = bars.bars(
        list(found),
        [each.top1 for each in found.values()],
        low=[each.low for each in found.values()],
        high=[each.high for each in found.values()],
        alt=_("Accuracy with half of one layer gone."),
        x_title=_("Accuracy"),
        percent=True,
    )
    right, wrong = (numbers.percent(each.top1) for each in found.values())
    return Shown(figure, {"layer": key, "right": right, "wrong": wrong}, (demo.source(),))


def each_layer(demo: Demo) -> Shown:
    ranks = demo.ranks(L1Norm())
    lost = {group.key: demo.measured(demo.cut(ranks, 0.5, (group.key,))).drop.drop for group in demo.groups}
    figure = bars.bars(
        list(lost),
        list(lost.values()),
        alt=_("Accuracy lost when a layer loses half of its channels, in network order."),
        x_title=_("Accuracy lost"),
        percent=True,
    )
    order = spearmanr(range(len(lost)), list(lost.values())).statistic
    values = {"order": f"{float(order):.2f}"}
    return Shown(figure, values, (demo.source(_("One layer at a time, by the L1 norm.")),))


def before_the_relu(demo: Demo) -> Shown:
    conv, norm = demo.model.get_submodule("conv1"), demo.model.get_submodule("bn1")
    images = demo.parts()[0]
    with torch.no_grad():
        x = images.normalised(images.images[:64], torch.float32)
        made = conv(x)
        after = F.relu(norm(made))
    zeros = {_("output of the convolution"): _zeros(made), _("after norm and ReLU"): _zeros(after)}
    figure = bars.bars(
        list(zeros),
        list(zeros.values()),
        alt=_("Share of zeros before and after the ReLU."),
        x_title=_("Share of zeros"),
        percent=True,
    )
    before, then = (numbers.percent(value) for value in zeros.values())
    source = provenance.measured(_("64 images of the fitted part, first layer of the demo network"), images=64)
    return Shown(figure, {"before": before, "after": then}, (source,))


def _zeros(values: Tensor) -> float:
    return float((values == 0).double().mean())


def soft_threshold(demo: Demo) -> Shown:
    """A scale whose loss is (g - 0.02)^2 / 2, pulled by an L1 term of 0.1: where does it end?"""
    rate, pull = 0.1, 0.1
    sub = prox = 0.5
    rows = []
    for step in range(121):
        rows += [(step, sub, _("gradient steps")), (step, prox, _("proximal steps (ISTA)"))]
        sub -= rate * ((sub - 0.02) + pull * (1 if sub > 0 else -1 if sub < 0 else 0))
        v = prox - rate * (prox - 0.02)
        prox = max(abs(v) - rate * pull, 0.0) * (1 if v > 0 else -1)
    frame = pd.DataFrame(rows, columns=["step", "scale", "by"])
    figure = charts.curves(
        frame.rename(columns={"step": "epoch", "by": "run"}), y="scale", y_title=_("Scale"),
        alt=_("A scale under an L1 term, by gradient steps and by proximal steps."),
    )  # fmt: skip
    figure.update_xaxes(title=_("Step"))
    ends = frame[frame["by"] == _("gradient steps")]["scale"].tail(20).abs()
    values = {"least": f"{ends.min():.4f}", "most": f"{ends.max():.4f}", "prox": f"{abs(prox):g}"}
    return Shown(figure, values, (COMPUTED,))


def weights_or_filters(demo: Demo) -> Shown:
    slider = engine.of(demo.desk, demo.network)
    assert isinstance(slider, Slider)
    weights = one_layer.layers(demo.model, demo.network)
    inner = {key: weights[key] for key in demo.inner if key in weights}
    found = {}
    for grain in ONES:
        masks = {key: grains.mask(grain, weight, 0.5) for key, weight in inner.items()}
        found[ONES[grain]] = slider.instead(one_layer.masked(demo.model, masks)).accuracy
    figure = bars.bars(
        [_(name) for name in found], [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt=_("Accuracy with half of the weights zero, by granularity."),
        x_title=_("Accuracy"), percent=True,
    )  # fmt: skip
    values = {name: numbers.percent(each.top1) for name, each in found.items()}
    return Shown(
        figure, values, (demo.source(_("Half of the weights of the layers inside the blocks, without training.")),)
    )


def blocks(demo: Demo) -> Shown:
    slider = engine.of(demo.desk, demo.network)
    assert isinstance(slider, Slider)
    able = [block.name for block in removable(demo.model, demo.network)]
    whole = demo.measured(Plan()).accuracy
    found = {
        _("whole"): whole,
        **{
            _("without {block}").format(block=name): slider.instead(edited(demo.model, (Drop(name),))).accuracy
            for name in able
        },
    }
    figure = bars.bars(
        list(found), [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt=_("Accuracy without each block that can leave."),
        x_title=_("Accuracy"), percent=True,
    )  # fmt: skip
    parents = sorted(
        {name.rpartition(".")[0] for name, _module in demo.model.named_modules() if name.endswith(".conv1")}
    )
    values = {
        "able": ", ".join(able),
        "blocks": str(len(parents)),
        "left": numbers.percent(list(found.values())[-1].top1),
    }
    return Shown(figure, values, (demo.source(_("Without training.")),))


def small_answers(demo: Demo) -> Shown:
    group = demo.network.group(demo.inner[0])
    means = demo.ranks(ActivationMean())[group.key].tolist()
    before = demo.measured(Plan()).accuracy.loss
    rise = [demo.measured(Plan({group.key: [unit]})).accuracy.loss - before for unit in range(group.size)]
    figure = bars.points(
        means, rise, [_("channel {number}").format(number=unit) for unit in range(group.size)],
        alt=_("Mean activation of the channels of {key} against the loss gained without each.").format(key=group.key),
        x_title=_("Mean activation"), y_title=_("Loss gained without it, nats"),
    )  # fmt: skip
    values = {"layer": group.key, "agreement": f"{float(spearmanr(means, rise).statistic):.2f}"}
    return Shown(figure, values, (demo.source(_("Each channel alone.")),))


def skipping(demo: Demo) -> Shown:
    weights = one_layer.layers(demo.model, demo.network)
    name = max(weights, key=lambda each: weights[each].numel() if weights[each].dim() == 4 else 0)
    row = next(each for each in demo.network.layer_costs() if each.name == name)
    layer: nn.Module = demo.model.get_submodule(name)
    times = one_layer.timed(layer, row.shape_in, grains.mask(Grain.ELEMENT, weights[name], 0.75), row.macs)
    alt = _("Time of {name} with three quarters of its weights zero.").format(name=name)
    figure = latencies.bars_of(times, [said(way) for way in times], alt)
    values = {
        "layer": name,
        "dense": latencies.told(times[one_layer.DENSE]),
        "zeros": latencies.told(times[one_layer.MASKED]),
        "skipped": latencies.told(times[one_layer.SKIPPED]),
    }
    return Shown(figure, values, (_timed(times[one_layer.DENSE]),), latencies.unclear(*times.values()))


def counting_norm(demo: Demo) -> Shown:
    name, weight = next((n, w) for n, w in one_layer.layers(demo.model, demo.network).items() if n == demo.widest.key)
    counts = (weight.detach().flatten(1) != 0).sum(1)
    norms = weight.detach().flatten(1).abs().sum(1)
    different = {_("L0 (weights that are not zero)"): len(counts.unique()), _("L1 norm"): len(norms.unique())}
    figure = bars.bars(
        list(different),
        list(different.values()),
        alt=_("Different scores among the {n} filters of {name}.").format(n=len(weight), name=name),
        x_title=_("Different scores"),
    )
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
        list(rows),
        list(rows.values()),
        alt=_("Largest probability of softmax(-D / t)."),
        x_title=_("Largest probability"),
    )
    low, high = next(iter(rows.values())), list(rows.values())[-1]
    return Shown(figure, {"cold": f"{low:.2f}", "hot": f"{high:.2f}"}, (COMPUTED,))
