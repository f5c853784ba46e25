"""The report of a network that was made here: what is in it, from what was measured. No streamlit here."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from pages.download.files import Built, stem
from pages.ui import changes, charts, differences, latencies, numbers, pictures
from pages.ui.sizes import Size, Sizes
from pruning_core import __version__
from pruning_core.datasets import Dataset
from pruning_core.errors import clip
from pruning_core.export.report import Chart, Fact, Picture, Report, Table, html_of
from pruning_core.graph import Network
from pruning_core.measuring.answers import Answers, damage, flips
from pruning_core.zoo import ModelRef

PICTURES = 24
COUNTED = "counted in the captured networks, exactly"


def built(
    ref: ModelRef, found: Sizes, test: Dataset, answers: tuple[Answers, Answers], networks: tuple[Network, Network],
    made: Sequence[str],
) -> Built:  # fmt: skip
    """``answers`` and ``networks``: before and after; ``made``: how it was made, in sentences."""
    whole, small = found.sizes
    layers = differences.layers(*networks)
    lost = damage(*answers, test.classes)
    charts_ = [
        _chart("Channels of every layer that changed", differences.widths(layers, "channels", "Channels"), COUNTED),
        _chart("Work of every layer that changed", differences.widths(layers, "macs", "MACs"), COUNTED),
    ]
    measured = found.measured.facts
    if lost:
        shown = differences.damage(lost)
        charts_.append(_chart("Accuracy lost, class by class", shown, f"{measured} Bars: 95 %.", "measured"))
    flipped = flips(*answers)
    report = Report(
        title=f"{found.title}, made smaller",
        subtitle=f"PruneScope {__version__}, {datetime.date.today().isoformat()}. Data: {found.measured.facts}",
        summary=_summary(whole, small, flipped.count, len(test)),
        facts=_facts(found, whole, small),
        charts=charts_,
        tables=(_layer_table(layers),),
        pictures=_pictures(test, answers, (*flipped.lost, *flipped.gained, *flipped.other)[:PICTURES]),
        pictures_note=_note(flipped.count, len(flipped.lost), len(flipped.gained), len(test)),
        made=made,
        loading=_loading(stem(ref), networks[1].example_shapes[0]),
    )
    return Built(f"{stem(ref)}.report.html", "text/html", html_of(report, get_plotlyjs()).encode())


def _summary(whole: Size, small: Size, flipped: int, images: int) -> list[str]:
    assert small.drop is not None
    change = changes.paired(small.drop)
    said = [
        f"The smaller network does {numbers.percent(small.macs / max(1, whole.macs), 0)} of the work for an image and "
        f"is {numbers.fold(whole.size_bytes, small.size_bytes)} smaller.",
        f"It gets {numbers.accuracy_text(small.accuracy.top1, small.accuracy.low, small.accuracy.high)} of {images:,} "
        f"test images right, against "
        f"{numbers.accuracy_text(whole.accuracy.top1, whole.accuracy.low, whole.accuracy.high)} before: "
        f"{change.delta}, {change.interval}, {change.verdict}.",
        f"{flipped:,} images get another answer than before: {small.drop.lost} that were right are wrong now, "
        f"{small.drop.gained} that were wrong are right.",
    ]
    first, last = whole.latency, small.latency
    times = f"{numbers.milliseconds(first.median_ms)} before, {numbers.milliseconds(last.median_ms)} after"
    if latencies.indistinct(first, last):
        said.append(f"Time for {last.batch_size} images: {times}; on this machine no difference can be told.")
    else:
        said.append(
            f"Time for {last.batch_size} images: {times}, {first.median_ms / last.median_ms:.2f}× as fast, measured on "
            f"{last.device}."
        )
    return said


def _facts(found: Sizes, whole: Size, small: Size) -> list[Fact]:
    accuracy, latency = small.accuracy, small.latency
    return [
        Fact("Accuracy", numbers.percent(accuracy.top1),
             f"95 %: {100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}, before {numbers.percent(whole.accuracy.top1)}",
             "measured", found.measured.facts),
        Fact("MACs of one image", numbers.count(small.macs), f"of {numbers.count(whole.macs)}", "derived",
             COUNTED),
        Fact("Parameters", numbers.count(small.parameters), f"of {numbers.count(whole.parameters)}", "derived",
             COUNTED),
        Fact("Size", numbers.size_bytes(small.size_bytes), f"of {numbers.size_bytes(whole.size_bytes)}", "derived",
             COUNTED),
        Fact(f"Time for {latency.batch_size} images", numbers.milliseconds(latency.median_ms),
             f"{latency.p10_ms:.3g}–{latency.p90_ms:.3g} ms, before {numbers.milliseconds(whole.latency.median_ms)}",
             "measured", found.timed.facts),
    ]  # fmt: skip


def _chart(title: str, figure: go.Figure, source: str, mark: Any = "derived") -> Chart:
    figure.update_layout(template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)")
    drawn: Mapping[str, Any] = json.loads(figure.to_json())
    return Chart(title, drawn, charts.alt_text(figure), mark, source)


def _layer_table(layers: Any) -> Table:
    changed = layers[layers["changed"]]
    names = ("channels", "parameters", "macs")
    rows = [
        (clip(row["layer"]), row["kind"], *(f"{row[f'{name}_before']:,} → {row[f'{name}_after']:,}" for name in names))
        for _, row in changed.iterrows()
    ]
    title = f"Layers before and after: {len(changed)} of {len(layers)} changed"
    return Table(title, ("Layer", "Kind", "Channels out", "Parameters", "MACs"), rows, "derived", COUNTED)


def _pictures(test: Dataset, answers: tuple[Answers, Answers], chosen: Sequence[int]) -> list[Picture]:
    before, after = answers
    found = []
    for at in chosen:
        lines = [
            (f"{when} {pictures.class_name(test, int(each.predicted[at]))} ({100 * each.confidence[at]:.0f}\u00a0%)",
             bool(each.right[at]))
            for when, each in (("before:", before), ("after:", after))
        ]  # fmt: skip
        right = pictures.class_name(test, int(test.labels[at]))
        found.append(Picture(pictures.uri(test.images[at]), f"test image {at}, {right}", lines))
    return found


def _note(count: int, lost: int, gained: int, images: int) -> str:
    if not count:
        return f"None of {images:,} test images: both networks give the same answer to all of them."
    shown = f" The first {PICTURES} are shown." if count > PICTURES else ""
    return (
        f"{count:,} of {images:,} test images: {lost} right to wrong, {gained} wrong to right, "
        f"{count - lost - gained} from one wrong answer to another.{shown} In brackets: how sure the network is."
    )


def _loading(name: str, shape: Sequence[int]) -> list[tuple[str, str]]:
    sizes = ", ".join(map(str, shape[1:]))
    return [
        (
            "The exported program, wherever PyTorch runs, without PruneScope and without the network's own code:",
            f'import torch\n\nmodel = torch.export.load("{name}.pt2").module()\n'
            f"scores = model(torch.zeros(1, {sizes}))",
        ),
        (
            "In ONNX Runtime:",
            "import numpy as np\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{name}.onnx")\n'
            f"images = np.zeros((1, {sizes}), np.float32)\n"
            "scores = session.run(None, {session.get_inputs()[0].name: images})",
        ),
    ]
