"""Lesson 5: fewer multiplications are not yet less time."""

from __future__ import annotations

import pandas as pd
import streamlit as st
import torch

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, numbers, provenance
from pages.ui import charts as shared
from pages.ui.demo import COUNTED, Demo, Shown
from pages.ui.language import N_, _
from pages.ui.provenance import Provenance
from pruning_core.analysis import one_layer
from pruning_core.criteria import L1Norm
from pruning_core.graph import remove
from pruning_core.measuring.beside import timed_in_turns
from pruning_core.measuring.measures import Latency
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

RATIOS = (0.0, 0.25, 0.5, 0.75)
MANY = 64


@st.cache_resource(show_spinner=False)
def _times(_demo: Demo, batch: int) -> dict[str, Latency]:
    ranks, network = _demo.ranks(L1Norm()), _demo.network
    plans = {f"{ratio:g}": _demo.cut(ranks, ratio) for ratio in RATIOS}
    models = {
        name: remove(_demo.model, network, plan).model.eval() if plan else _demo.model for name, plan in plans.items()
    }
    shape = network.example_shapes[0][1:]
    return timed_in_turns(models, torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)))


def _frame(demo: Demo, batch: int) -> pd.DataFrame:
    times, ranks, whole = _times(demo, batch), demo.ranks(L1Norm()), demo.network.cost().macs
    first = next(iter(times.values())).median_ms
    rows = []
    for ratio, each in zip(RATIOS, times.values()):
        rows.append((ratio, demo.network.cost(demo.cut(ranks, ratio)).macs / whole, _("MACs")))
        rows.append((ratio, each.median_ms / first, _("time")))
    return pd.DataFrame(rows, columns=["ratio", "left", "of"])


def _timed(each: Latency) -> Provenance:
    return provenance.measured(
        _("random images, batches of {n}, {passes} passes").format(n=each.batch_size, passes=each.runs),
        device=provenance.processor(each.device, each.threads),
        note=_("All sizes in turns."),
    )


def _whole(demo: Demo, batch: int) -> Shown:
    times, frame = _times(demo, batch), _frame(demo, batch)
    figure = shared.lines(
        frame, x="ratio", y="left", by="of", alt=_("MACs and time that are left, as every layer loses the same share."),
        x_title=_("Channels removed"), y_title=_("Left of the unpruned network"), x_percent=True, y_percent=True,
    )  # fmt: skip
    at = frame[frame["ratio"] == 0.5].set_index("of")["left"]
    all_ms = list(times.values())
    values = {
        "macs": numbers.percent(at[_("MACs")], 0), "time": numbers.percent(at[_("time")], 0),
        "before": numbers.milliseconds(all_ms[0].median_ms), "after": numbers.milliseconds(all_ms[2].median_ms),
        "fold_macs": f"{1 / at[_('MACs')]:.1f}", "fold_time": f"{1 / at[_('time')]:.1f}",
    }  # fmt: skip
    return Shown(figure, values, (COUNTED, _timed(all_ms[0])))


def many(demo: Demo) -> Shown:
    return _whole(demo, MANY)


def single(demo: Demo) -> Shown:
    return _whole(demo, 1)


def zeros(demo: Demo) -> Shown:
    weights = one_layer.layers(demo.model, demo.network)
    name = max(weights, key=lambda each: weights[each].numel() if weights[each].dim() == 4 else 0)
    row = next(each for each in demo.network.layer_costs() if each.name == name)
    layer = demo.model.get_submodule(name)
    found = {}
    for grain in (Grain.ELEMENT, Grain.FILTER):
        mask = grains.mask(grain, weights[name], 0.75)
        times = one_layer.timed(layer, row.shape_in, mask, row.macs)
        if grain is Grain.ELEMENT:
            found = {
                _("as it is"): times[one_layer.DENSE],
                _("three quarters of the weights zero"): times[one_layer.MASKED],
                _("the same, zeros skipped"): times[one_layer.SKIPPED],
            }
        else:
            found[_("three quarters of the filters gone")] = times[one_layer.SMALLER]
    figure = bars.bars(
        list(found), [each.median_ms for each in found.values()], low=[each.p10_ms for each in found.values()],
        high=[each.p90_ms for each in found.values()], alt=_("Time of {name}, in milliseconds.").format(name=name),
        x_title=_("Time of one pass, ms"), marked=[name == _("the same, zeros skipped") for name in found],
    )  # fmt: skip
    dense, zeroed, skipped, smaller = (numbers.milliseconds(each.median_ms) for each in found.values())
    values = {"layer": name, "dense": dense, "zeros": zeroed, "skipped": skipped, "smaller": smaller}
    return Shown(figure, values, (_timed(next(iter(found.values()))),))


LESSON = Lesson(
    "speed",
    N_("FLOPs are not speed"),
    N_("Papers report multiplications (MACs, often called FLOPs). A user waits for time."),
    (
        Step(
            N_("Every layer loses half of its channels. How much time is left?"),
            many,
            N_(
                "{macs} of the MACs are left, {fold_macs} times fewer, and {time} of the time "
                "({before} became {after}): {fold_time} times faster."
            ),
            N_(
                "Half of the channels leave about a quarter of the products, because a layer loses "
                "what it reads and what it writes. Time also goes into moving numbers, into norms "
                "and into starting each layer."
            ),
        ),
        Step(
            N_("And one image at a time?"),
            single,
            N_("With single images {time} of the time is left ({before} became {after}), with {macs} of the MACs."),
            N_(
                "With little work in each layer, starting it takes the longest, and that does not "
                "become less. What is gained depends on batch, device and widths; measure there "
                "where it will run."
            ),
        ),
        Step(
            N_("Three quarters of a layer's weights are zero. Is it faster?"),
            zeros,
            N_(
                "{layer} took {dense}, with zeros {zeros}, with a kernel that skips them "
                "{skipped}, and with three quarters of its filters gone {smaller}."
            ),
            N_(
                "An ordinary kernel does not look whether it multiplies by zero. The Granularity "
                "page shows it for every layer of your own network."
            ),
        ),
    ),
)
