"""Lesson 5: fewer multiplications are not yet less time."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
import torch

from pages.lessons.lesson import Lesson, Step
from pages.ui import charts as shared
from pages.ui import latencies, numbers, provenance
from pages.ui.demo import COUNTED, HALF, Demo, Shown
from pages.ui.language import N_, _
from pages.ui.provenance import Provenance
from pruning_core.analysis import one_layer
from pruning_core.criteria import L1Norm
from pruning_core.graph import remove
from pruning_core.measuring.beside import InTurns, timed_in_turns
from pruning_core.measuring.measures import Latency
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

RATIOS = (0.0, 0.25, 0.5, 0.75)
MANY = 64


@st.cache_resource(show_spinner=False)
def _timed_once(_demo: Demo, batch: int) -> dict[str, InTurns]:
    ranks, network = _demo.ranks(L1Norm()), _demo.network
    plans = {f"{ratio:g}": _demo.cut(ranks, ratio) for ratio in RATIOS}
    models = {
        name: remove(_demo.model, network, plan).model.eval() if plan else _demo.model for name, plan in plans.items()
    }
    shape = network.example_shapes[0][1:]
    return timed_in_turns(models, torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)))


def _times(demo: Demo, batch: int) -> tuple[InTurns, ...]:
    """By ratio. What tells nothing is not kept."""
    found = _timed_once(demo, batch)
    if any(map(_loose, found.values())):
        _timed_once.clear()
    return tuple(found.values())


def _loose(each: InTurns) -> bool:
    return each.noisy or each.unsure


def _frame(demo: Demo, times: Sequence[InTurns]) -> pd.DataFrame:
    """Columns `ratio`, `left`, `low`, `high`, `of`; without the time where it tells nothing."""
    ranks = demo.ranks(L1Norm())
    rows = []
    for ratio, each in zip(RATIOS, times):
        macs = demo.left(demo.cut(ranks, ratio))
        rows.append((ratio, macs, macs, macs, _("MACs")))
        if not any(map(_loose, times)):
            rows.append((ratio, each.share, each.low, each.high, _("time")))
    return pd.DataFrame(rows, columns=["ratio", "left", "low", "high", "of"])


def _timed(each: Latency) -> Provenance:
    return provenance.measured(
        _("random images, batches of {n}, {passes} passes").format(n=each.batch_size, passes=each.runs),
        device=provenance.processor(each.device, each.threads),
        note=_("All sizes in turns."),
    )


def _whole(demo: Demo, batch: int) -> Shown:
    times = _times(demo, batch)
    figure = shared.lines(
        _frame(demo, times), x="ratio", y="left", by="of", low="low", high="high",
        alt=_("MACs and time that are left, as every layer loses the same share."),
        x_title=_("Channels removed"), y_title=_("Left of the unpruned network"), x_percent=True, y_percent=True,
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    macs = demo.left(demo.half())
    whole, half = times[0], times[RATIOS.index(HALF)]
    values = {
        "macs": numbers.percent(macs, 0),
        "time": latencies.share(half), "before": latencies.told(whole), "after": latencies.told(half),
        "fold_macs": f"{1 / macs:.1f}", "fold_time": f"{1 / half.share:.1f}",
    }  # fmt: skip
    unsure = max(times, key=lambda each: each.high / each.low)
    unclear = latencies.unclear(*times) or latencies.unclear_share(unsure)
    return Shown(figure, values, (COUNTED, _timed(whole)), unclear)


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
    alt = _("Time of {name}, in milliseconds.").format(name=name)
    figure = latencies.bars_of(found, list(found), alt, marked=[each == _("the same, zeros skipped") for each in found])
    dense, zeroed, skipped, smaller = map(latencies.told, found.values())
    values = {"layer": name, "dense": dense, "zeros": zeroed, "skipped": skipped, "smaller": smaller}
    return Shown(figure, values, (_timed(next(iter(found.values()))),), latencies.unclear(*found.values()))


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
                "({before} became {after}): {fold_time} times faster. In brackets: the 95 % interval."
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
