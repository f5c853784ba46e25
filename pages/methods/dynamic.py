"""What gates leave out, image by image: counted, shown for the easiest and the hardest images, and no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from pages.methods import gate_charts
from pages.ui import cards, numbers, plots, provenance, state
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _
from pages.ui.literal import literal
from pruning_core.datasets import DataRef, Dataset
from pruning_core.measuring.gates import Gates, counting
from pruning_core.measuring.measures import AverageMacs
from pruning_core.studies.inputs import fitted
from pruning_core.studies.treated import Standing
from pruning_core.work import finished
from pruning_core.zoo import ModelRef

ENDS = 4  # images at either end
MOST, WORK = 512, 4e10  # images looked at for the pictures; MACs that this may take
SIDE = 88  # pixels of a picture
KEPT = provenance.derived(N_("every weight stays in memory, and the gates' own are added"))


@dataclass(frozen=True, eq=False)
class Seen:
    """``gates`` of some test images; ``order``: of these, from the one that needed least."""

    data: Dataset
    gates: Gates
    order: tuple[int, ...]


def text(average: AverageMacs | None, macs: int) -> str:
    """For a cell: what an image needs on average, or what every image needs."""
    return f"{macs:,}" if average is None else _("{mean:,.0f} on average").format(mean=average.mean)


def counted(average: AverageMacs, seed: int, device: str) -> provenance.Provenance:
    return provenance.measured(
        average.dataset, images=average.images, device=device, seed=seed,
        note=_("Counted while the images ran: products of channels whose gate was closed are left out."),
    )  # fmt: skip


def cards_of(
    before: Standing, after: Standing, source: provenance.Provenance, places: Sequence[DeltaGenerator]
) -> None:
    average = after.average
    assert average is not None
    cards.number(
        _("MACs of an image"),
        numbers.count(average.mean),
        source,
        container=places[0],
        detail=_("middle 80{thin}% of images {p10}–{p90}; dense {macs}").format(
            thin=numbers.THIN,
            p10=numbers.count(average.p10),
            p90=numbers.count(average.p90),
            macs=numbers.count(before.cost.macs),
        ),
        delta=numbers.percent(average.mean / max(1, before.cost.macs) - 1),
        delta_color="inverse",
        help=_("The mean over test images, gates included, against the dense network before."),
    )
    cards.number(
        _("Parameters"), numbers.count(after.cost.parameters), KEPT, container=places[1],
        detail=_("of {parameters}; all stay").format(parameters=numbers.count(before.cost.parameters)),
        delta=numbers.percent(after.cost.parameters / max(1, before.cost.parameters) - 1), delta_color="inverse",
    )  # fmt: skip


def explain(before: Standing, after: Standing) -> None:
    """Whether it is faster, by what was timed."""
    assert after.average is not None
    share = numbers.percent(after.average.mean / max(1, before.cost.macs))
    now, then = numbers.milliseconds(after.latency.median_ms), numbers.milliseconds(before.latency.median_ms)
    st.info(
        _(
            "An image needs {share} of the dense network's MACs on average, counted. **Fewer products "
            "are not less time.** Dense PyTorch computes every channel and multiplies what is closed by "
            "zero, and computes the gates too: {now} for one image, {then} before. Only what skips "
            "channels image by image gains time."
        ).format(share=share, now=now, then=then),
        icon=":material/alt_route:",
    )


@st.fragment
def images(model: ModelRef, data: DataRef, dense: int) -> None:
    """The test images that needed least and most, and which channels ran for one of them."""
    st.subheader(_("Image by image"))
    with plain_errors():
        with st.spinner(_("Counting what images need …")):
            seen = _seen(model.to_json(), data.to_json(), str(state.workspace().root))
        macs = seen.gates.macs
        ends = min(ENDS, len(seen.order) // 2)
        least, most = seen.order[:ends], seen.order[::-1][:ends]
        _right_and_wrong(seen.gates, dense)
        for title, own in ((_("Needed least"), least), (_("Needed most"), most)):
            st.markdown(f"**{title}**")
            with st.container(horizontal=True, gap="small"):
                for place, image in enumerate(own, 1):
                    share = numbers.percent(float(macs[image]) / max(1, dense))
                    with st.container(width=SIDE + 16, gap="xxsmall"):
                        st.image(_picture(seen, image), width=SIDE)
                        st.caption(f"{place}: {literal(_label(seen, image))} · {share}")
        names = {_("least {n}").format(n=place): image for place, image in enumerate(least, 1)}
        names |= {_("most {n}").format(n=place): image for place, image in enumerate(most, 1)}
        first = next(iter(names))
        wanted = st.segmented_control(
            _("Channels that ran for"),
            list(names),
            default=first,
            required=True,
            key="methods.gates.image",
            wrap=True,
        )
        image = names[wanted or first]
        rows = {layer.name: layer.ran[image].tolist() for layer in seen.gates.layers}
        of = _("the image “{label}” ({value})").format(label=_label(seen, image), value=wanted or first)
        plots.show(gate_charts.channels(rows, of), "methods.gates.channels")
        if any(layer.always for layer in seen.gates.layers):
            st.caption(
                _("The first part of a layer's inputs is read everywhere; shown is where the rest was read too.")
            )
        cards.source_line(
            provenance.measured(
                _("{name}, test images").format(name=seen.data.name),
                images=len(macs),
                device="CPU",
                note=_(
                    "Counted while they ran; shares are of the dense network's MACs. An illustration: these images "
                    "chose nothing."
                ),
            )
        )


def _right_and_wrong(gates: Gates, dense: int) -> None:
    """Easy against hard images, as far as being right tells them apart."""
    macs, right = gates.macs / max(1, dense), gates.right
    if right is None:
        return
    parts = []
    for name, which in ((_("it got right"), right), (_("it got wrong"), ~right)):
        if bool(which.any()):
            parts.append(
                _("the {sum:,} images that {name} {percent}").format(
                    sum=int(which.sum()), name=name, percent=numbers.percent(float(macs[which].mean()))
                )
            )
    least, most = numbers.percent(float(macs.min())), numbers.percent(float(macs.max()))
    st.markdown(
        _(
            "Of the dense network's MACs, {join} were needed on average; the easiest image took {least}, "
            "the hardest {most}."
        ).format(join=_(" and ").join(parts), least=least, most=most)
    )


def _label(seen: Seen, image: int) -> str:
    if not seen.data.classes:
        return _("image {n}").format(n=int(seen.gates.indices[image]) + 1)
    return seen.data.classes[int(seen.data.labels[seen.gates.indices[image]])]


def _picture(seen: Seen, image: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3), enlarged by whole factors so that small images keep their pixels."""
    pixels = seen.data.images[seen.gates.indices[image]].permute(1, 2, 0).cpu().numpy()
    pixels = pixels if pixels.shape[2] == 3 else pixels[:, :, 0]
    times = max(1, SIDE // pixels.shape[1])
    found: NDArray[np.uint8] = pixels.repeat(times, 0).repeat(times, 1)
    return found


@st.cache_resource(show_spinner=False, max_entries=8)
def _seen(model: str, data: str, root: str) -> Seen:
    ref, data_ref = ModelRef.from_json(model), DataRef.from_json(data)
    loaded, network = state.loaded(ref), state.network(ref)
    test = fitted(state.splits(data_ref)[1], data_ref, loaded)
    some = test.subset(min(len(test), MOST, max(2 * ENDS, int(WORK / max(1, network.cost().macs)))), 0)
    gates = finished(counting(loaded.model, network, some, device="cpu"))
    return Seen(some, gates, tuple(torch.argsort(gates.macs, stable=True).tolist()))
