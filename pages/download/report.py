"""The report of a network that was made here: what is in it, from what was measured. No streamlit here.

It is written in the language of whoever asks for it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.offline import get_plotlyjs

from pages.download import lettering
from pages.download.files import Built, stem
from pages.ui import changes, charts, differences, latencies, measured, numbers, pictures
from pages.ui.language import N_, _, said
from pages.ui.sizes import Size, Sizes
from pruning_core import __version__
from pruning_core.datasets import Dataset
from pruning_core.errors import clip
from pruning_core.export.report import Chart, Fact, Gallery, Picture, Report, Table, html_of
from pruning_core.graph import Network
from pruning_core.measuring.answers import Answers, Flips, damage, flips
from pruning_core.measuring.measures import TOP1
from pruning_core.studies.pictures import Pictures
from pruning_core.zoo import ModelRef
from pruning_core.zoo.interface import Input

PICTURES = 24
COUNTED = N_("counted in the captured networks, exactly")


def built(
    ref: ModelRef, found: Sizes, test: Dataset, networks: tuple[Network, Network], made: Sequence[str],
    inputs: Sequence[Input], pictured: Pictures | None = None,
) -> Built:  # fmt: skip
    """``networks``: before and after; ``made``: how it was made, in sentences; ``inputs``: what the files read;
    ``pictured``: of a network that makes pictures, those that changed most."""
    whole, small = found.sizes
    layers, counted = differences.layers(*networks), _(COUNTED)
    channels, work = (differences.widths(layers, *each) for each in (("channels", _("Channels")), ("macs", "MACs")))
    charts_ = [
        _chart(_("Channels of every layer that changed"), channels, counted),
        _chart(_("Work of every layer that changed"), work, counted),
    ]
    facts = said(found.measured.facts)
    summary, gallery = _summary(found, whole, small), _made(pictured, len(test)) if pictured else None
    if found.of_classes:
        answers = (_said(whole, test), _said(small, test))
        lost, flipped = damage(*answers, test.classes), flips(*answers)
        if lost:
            shown, bars = differences.damage(lost, TOP1), _("{facts} Bars: 95 %.").format(facts=facts)
            charts_.append(_chart(_("Accuracy lost, class by class"), shown, bars, "measured"))
        summary.insert(2, _flipped(flipped))
        gallery = _answers(test, answers, flipped)
    today = datetime.date.today().isoformat()
    report = Report(
        title=_("{network}, made smaller").format(network=found.title),
        subtitle=_("PruneScope {version}, {date}. Data: {facts}").format(version=__version__, date=today, facts=facts),
        summary=summary,
        facts=_facts(found, whole, small),
        charts=charts_,
        tables=(_layer_table(layers),),
        gallery=gallery,
        made=made,
        loading=_loading(stem(ref), inputs),
        words=lettering.words(),
    )
    return Built(f"{stem(ref)}.report.html", "text/html", html_of(report, get_plotlyjs()).encode())


def _said(size: Size, test: Dataset) -> Answers:
    labels = test.labels.int().numpy()
    return Answers(np.asarray(size.predicted, np.int32), np.asarray(size.confidence, np.float32), labels)


def _flipped(flipped: Flips) -> str:
    return _(
        "{count:,} images get another answer than before: {lost} that were right are wrong now, {gained} that were "
        "wrong are right."
    ).format(count=flipped.count, lost=len(flipped.lost), gained=len(flipped.gained))


def _worth(found: Sizes, whole: Size, small: Size) -> str:
    """What its outputs are worth, against what they were worth before."""
    assert small.drop is not None
    change, key = changes.paired(small.drop), small.accuracy.measure
    words = (
        _("It gets {value} of {n:,} test images right, against {before} before: {delta}, {interval}, {verdict}.")
        if found.of_classes
        else _(
            "{measure} on {n:,} test images: {value}, against {before} before; {way}: {delta}, {interval}, {verdict}."
        )
    )
    return words.format(
        measure=said(measured.measure(key).title), value=measured.text(small.accuracy), n=small.accuracy.images,
        before=measured.text(whole.accuracy), way=measured.way(key), delta=change.delta, interval=change.interval,
        verdict=change.verdict,
    )  # fmt: skip


def _summary(found: Sizes, whole: Size, small: Size) -> list[str]:
    first, last = whole.latency, small.latency
    told = (
        _("Time for {n} images: {before} before, {after} after; on this machine no difference can be told.")
        if latencies.indistinct(first, last)
        else _("Time for {n} images: {before} before, {after} after, {fold:.2f}× as fast, measured on {device}.")
    )
    return [
        _("The smaller network does {share} of the work for an image and is {fold} smaller.").format(
            share=numbers.percent(small.macs / max(1, whole.macs), 0),
            fold=numbers.fold(whole.size_bytes, small.size_bytes),
        ),
        _worth(found, whole, small),
        told.format(
            n=last.batch_size, before=numbers.milliseconds(first.median_ms), device=last.device,
            after=numbers.milliseconds(last.median_ms), fold=first.median_ms / last.median_ms,
        ),
    ]  # fmt: skip


def _facts(found: Sizes, whole: Size, small: Size) -> list[Fact]:
    worth, latency, counted = small.accuracy, small.latency, _(COUNTED)
    judged, facts = measured.measure(worth.measure), said(found.measured.facts)
    name = _("Accuracy") if found.of_classes else said(judged.title)
    source = facts if judged.decides else f"{facts} {measured.sentence(judged.key)}"
    of, before = _("of {whole}"), numbers.milliseconds(whole.latency.median_ms)
    return [
        Fact(name, measured.value(worth),
             _("95 %: {bounds}, before {before}").format(bounds=measured.bounds(worth),
                                                         before=measured.value(whole.accuracy)), "measured", source),
        Fact(_("MACs of one image"), numbers.count(small.macs), of.format(whole=numbers.count(whole.macs)), "derived",
             counted),
        Fact(_("Parameters"), numbers.count(small.parameters), of.format(whole=numbers.count(whole.parameters)),
             "derived", counted),
        Fact(_("Size"), numbers.size_bytes(small.size_bytes), of.format(whole=numbers.size_bytes(whole.size_bytes)),
             "derived", counted),
        Fact(_("Time for {n} images").format(n=latency.batch_size), numbers.milliseconds(latency.median_ms),
             _("{low:.3g}–{high:.3g} ms, before {before}").format(low=latency.p10_ms, high=latency.p90_ms,
                                                                  before=before),
             "measured", said(found.timed.facts)),
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
        for at, row in changed.iterrows()
    ]
    title = _("Layers before and after: {n} of {all} changed").format(n=len(changed), all=len(layers))
    head = (_("Layer"), _("Kind"), _("Channels out"), _("Parameters"), "MACs")
    return Table(title, head, rows, "derived", _(COUNTED))


def _made(pictured: Pictures, images: int) -> Gallery:
    """Of every image what goes in, what came out before, and what comes out now."""
    found = []
    for at, number in enumerate(pictured.numbers):
        for kind, drawn, text in (
            (_("input"), pictured.inputs, _("image {number}").format(number=number)),
            (_("before"), pictured.before, _("before")),
            (_("after"), pictured.after, _("after: {apart:.3g} apart").format(apart=pictured.apart[at])),
        ):
            alt = _("test image {number}, {kind}").format(number=number, kind=kind)
            found.append(Picture(pictures.uri(torch.from_numpy(drawn[at])), alt, [(text, None)]))
    note = _(
        "The {n} of {images:,} test images for which the two networks make the most different pictures, the furthest "
        "first: what goes in, what the network made of it before, and what it makes of it now. How far apart they are "
        "is the root of the mean squared difference, in the unit of the outputs."
    ).format(n=len(pictured.numbers), images=images)
    return Gallery(_("Pictures that changed most"), note, found, together=3)


def _answers(test: Dataset, answers: tuple[Answers, Answers], flipped: Flips) -> Gallery:
    before, after = answers
    found = []
    for at in (*flipped.lost, *flipped.gained, *flipped.other)[:PICTURES]:
        lines = [
            (f"{when} {pictures.class_name(test, int(each.predicted[at]))} ({100 * each.confidence[at]:.0f}\u00a0%)",
             bool(each.right[at]))
            for when, each in ((_("before:"), before), (_("after:"), after))
        ]  # fmt: skip
        right = pictures.class_name(test, int(test.labels[at]))
        alt = _("test image {number}, {name}").format(number=at, name=right)
        found.append(Picture(pictures.uri(test.images[at]), alt, lines))
    return Gallery(_("Images whose prediction flipped"), _note(flipped, len(test)), found)


def _note(flipped: Flips, images: int) -> str:
    if not flipped.count:
        return _("None of {images:,} test images: both networks give the same answer to all of them.").format(
            images=images
        )
    told = _(
        "{count:,} of {images:,} test images: {lost} right to wrong, {gained} wrong to right, {other} from one wrong "
        "answer to another. In brackets: how sure the network is."
    ).format(
        count=flipped.count, images=images, lost=len(flipped.lost), gained=len(flipped.gained), other=len(flipped.other)
    )
    shown = _(" The first {shown} are shown.").format(shown=PICTURES) if flipped.count > PICTURES else ""
    return f"{told}{shown}"


def _loading(name: str, inputs: Sequence[Input]) -> list[tuple[str, str]]:
    """``inputs``: those of the files."""
    given = [f"torch.zeros({_sizes(each)}{f', dtype=torch.{each.type}' if each.whole else ''})" for each in inputs]
    arrays = [f"np.zeros(({_sizes(each)}{',' * (not each.shape)}), np.{each.type})" for each in inputs]
    return [
        (
            _("The exported program, wherever PyTorch runs, without PruneScope and without the network's own code:"),
            f'import torch\n\nmodel = torch.export.load("{name}.pt2").module()\noutputs = model({", ".join(given)})',
        ),
        (
            _("In ONNX Runtime:"),
            "import numpy as np\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{name}.onnx")\n'
            f"inputs = [{', '.join(arrays)}]\n"
            "names = [each.name for each in session.get_inputs()]\n"
            "outputs = session.run(None, dict(zip(names, inputs)))",
        ),
    ]


def _sizes(each: Input) -> str:
    return ", ".join(map(str, (1, *each.shape)))
