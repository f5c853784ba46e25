"""The report of a network that was made here: what is in it, from what was measured. No streamlit here."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.offline import get_plotlyjs

from pages.download.files import Built, stem
from pages.ui import changes, charts, differences, latencies, measured, numbers, pictures
from pages.ui.sizes import Size, Sizes
from pruning_core import __version__
from pruning_core.datasets import Dataset
from pruning_core.errors import clip
from pruning_core.export.report import Chart, Fact, Gallery, Picture, Report, Table, html_of
from pruning_core.graph import Network
from pruning_core.measuring.answers import Answers, Flips, damage, flips
from pruning_core.studies.pictures import Pictures
from pruning_core.zoo import ModelRef

PICTURES = 24
COUNTED = "counted in the captured networks, exactly"


def built(
    ref: ModelRef, found: Sizes, test: Dataset, networks: tuple[Network, Network], made: Sequence[str],
    pictured: Pictures | None = None,
) -> Built:  # fmt: skip
    """``networks``: before and after; ``made``: how it was made, in sentences; ``pictured``: of a network that makes
    pictures, those that changed most."""
    whole, small = found.sizes
    layers = differences.layers(*networks)
    charts_ = [
        _chart("Channels of every layer that changed", differences.widths(layers, "channels", "Channels"), COUNTED),
        _chart("Work of every layer that changed", differences.widths(layers, "macs", "MACs"), COUNTED),
    ]
    facts = found.measured.facts
    summary, gallery = _summary(found, whole, small), _made(pictured, len(test)) if pictured else None
    if found.of_classes:
        answers = (_said(whole, test), _said(small, test))
        lost, flipped = damage(*answers, test.classes), flips(*answers)
        if lost:
            shown = differences.damage(lost)
            charts_.append(_chart("Accuracy lost, class by class", shown, f"{facts} Bars: 95 %.", "measured"))
        summary.insert(2, _flipped(flipped))
        gallery = _answers(test, answers, flipped)
    report = Report(
        title=f"{found.title}, made smaller",
        subtitle=f"PruneScope {__version__}, {datetime.date.today().isoformat()}. Data: {facts}",
        summary=summary,
        facts=_facts(found, whole, small),
        charts=charts_,
        tables=(_layer_table(layers),),
        gallery=gallery,
        made=made,
        loading=_loading(stem(ref), networks[1].example_shapes[0]),
    )
    return Built(f"{stem(ref)}.report.html", "text/html", html_of(report, get_plotlyjs()).encode())


def _said(size: Size, test: Dataset) -> Answers:
    labels = test.labels.int().numpy()
    return Answers(np.asarray(size.predicted, np.int32), np.asarray(size.confidence, np.float32), labels)


def _flipped(flipped: Flips) -> str:
    return (
        f"{flipped.count:,} images get another answer than before: {len(flipped.lost)} that were right are wrong now, "
        f"{len(flipped.gained)} that were wrong are right."
    )


def _worth(found: Sizes, whole: Size, small: Size) -> str:
    """What its outputs are worth, against what they were worth before."""
    assert small.drop is not None
    change, images = changes.paired(small.drop), f"{small.accuracy.images:,} test images"
    end = f"{change.delta}, {change.interval}, {change.verdict}."
    if found.of_classes:
        return (
            f"It gets {measured.text(small.accuracy)} of {images} right, against {measured.text(whole.accuracy)} "
            f"before: {end}"
        )
    key = small.accuracy.measure
    return (
        f"{measured.measure(key).title} on {images}: {measured.text(small.accuracy)}, against "
        f"{measured.text(whole.accuracy)} before; {measured.way(key)}: {end}"
    )


def _summary(found: Sizes, whole: Size, small: Size) -> list[str]:
    said = [
        f"The smaller network does {numbers.percent(small.macs / max(1, whole.macs), 0)} of the work for an image and "
        f"is {numbers.fold(whole.size_bytes, small.size_bytes)} smaller.",
        _worth(found, whole, small),
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
    worth, latency = small.accuracy, small.latency
    judged = measured.measure(worth.measure)
    name = "Accuracy" if found.of_classes else judged.title
    source = found.measured.facts if judged.decides else f"{found.measured.facts} {measured.sentence(judged.key)}"
    return [
        Fact(name, measured.value(worth), f"95 %: {measured.bounds(worth)}, before {measured.value(whole.accuracy)}",
             "measured", source),
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


def _made(pictured: Pictures, images: int) -> Gallery:
    """Of every image what goes in, what came out before, and what comes out now."""
    found = []
    for at, number in enumerate(pictured.numbers):
        for kind, drawn, text in (
            ("input", pictured.inputs, f"image {number}"),
            ("before", pictured.before, "before"),
            ("after", pictured.after, f"after: {pictured.apart[at]:.3g} apart"),
        ):
            found.append(Picture(pictures.uri(torch.from_numpy(drawn[at])), f"test image {number}, {kind}",
                                 [(text, None)]))  # fmt: skip
    note = (
        f"The {len(pictured.numbers)} of {images:,} test images for which the two networks make the most different "
        "pictures, the furthest first: what goes in, what the network made of it before, and what it makes of it now. "
        "How far apart they are is the root of the mean squared difference, in the unit of the outputs."
    )
    return Gallery("Pictures that changed most", note, found, together=3)


def _answers(test: Dataset, answers: tuple[Answers, Answers], flipped: Flips) -> Gallery:
    before, after = answers
    found = []
    for at in (*flipped.lost, *flipped.gained, *flipped.other)[:PICTURES]:
        lines = [
            (f"{when} {pictures.class_name(test, int(each.predicted[at]))} ({100 * each.confidence[at]:.0f}\u00a0%)",
             bool(each.right[at]))
            for when, each in (("before:", before), ("after:", after))
        ]  # fmt: skip
        right = pictures.class_name(test, int(test.labels[at]))
        found.append(Picture(pictures.uri(test.images[at]), f"test image {at}, {right}", lines))
    note = _note(flipped.count, len(flipped.lost), len(flipped.gained), len(test))
    return Gallery("Images whose prediction flipped", note, found)


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
            f"outputs = model(torch.zeros(1, {sizes}))",
        ),
        (
            "In ONNX Runtime:",
            "import numpy as np\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{name}.onnx")\n'
            f"images = np.zeros((1, {sizes}), np.float32)\n"
            "outputs = session.run(None, {session.get_inputs()[0].name: images})",
        ),
    ]
