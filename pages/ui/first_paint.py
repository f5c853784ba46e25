"""What stands on the first page before PyTorch is there: what this is, where to go, and a result that was prepared.

The frame of the page imports no torch, so it is on screen a second or two after the page was opened on a cold server;
this follows before the network itself is loaded, and stays when it is.
"""

from __future__ import annotations

import streamlit as st

from pages.ui import links
from pages.ui.language import N_, _, ngettext
from pages.ui.sizes import SHOWN_FIRST, prepared

WHAT = N_(
    "PruneScope makes a trained neural network smaller by removing parts of it that it hardly needs, and measures what "
    "that costs and gains. Every number says whether it was measured, derived, estimated or published, and the smaller "
    "network is a file to take home."
)


def draw() -> None:
    st.title("PruneScope")
    st.markdown(_(WHAT))
    _doors()
    _prepared()


def _doors() -> None:
    with st.container(horizontal=True, gap="small"):
        for heading, text, ways in (
            (_("My network"), _("Load a network and images of yours, see what can go, and cut it."),
             (lambda: links.to_load(_("Load a network")), lambda: links.to_what_if(_("Try a cut")))),
            (_("Learn"), _("What pruning is, method by method, each of them running here."),
             (lambda: links.to_taxonomy(_("Walk through the methods")), lambda: links.to_lessons(_("Take a lesson")))),
            (_("Show"), _("One screen for a meeting, and all that was made side by side."),
             (lambda: links.to_show(_("Open the show")), lambda: links.to_compare(_("Compare all networks")))),
        ):  # fmt: skip
            with st.container(border=True, width=320, height="stretch", gap="xsmall"):
                st.markdown(f"**{heading}**  \n{text}")
                for way in ways:
                    way()


def _prepared() -> None:
    from pages.ui import cards, changes, numbers, provenance  # late: the frame around this must not wait for them

    found = prepared()
    whole = found.whole
    after = next(each for each in found.sizes if each.share == SHOWN_FIRST)
    assert after.drop is not None  # only the whole network has none
    st.subheader(_("What it looks like: a prepared result"))
    st.caption(
        _("{network}, {how}. It was measured when this copy was made, not now; the Show page has all sizes.").format(
            network=found.title, how=found.how
        )
    )
    counted = provenance.derived(_("counted in the network"))
    places = cards.row(4)
    cards.number(
        _("Accuracy after the cut"),
        numbers.percent(after.accuracy.top1),
        found.measured,
        detail=_("{low:.1f}–{high:.1f}, before {before}").format(
            low=100 * after.accuracy.low, high=100 * after.accuracy.high, before=numbers.percent(whole.accuracy.top1)
        ),
        change=changes.paired(after.drop),
        help=_("Share of test images that it gets right. Below: the 95 % interval."),
        container=places[0],
    )
    for place, label, help, first, last, show in (
        (places[1], _("Work for one image"), _("Multiply-accumulates (MACs)."), whole.macs, after.macs, numbers.count),
        (places[2], _("Size"), _("Of the weights, as numbers of 32 bits."), whole.size_bytes, after.size_bytes,
         numbers.size_bytes),
    ):  # fmt: skip
        cards.number(
            label, show(last), counted, detail=_("of {whole}").format(whole=show(first)),
            delta=numbers.percent(last / first - 1, 0), delta_color="inverse",
            help=help, container=place,
        )  # fmt: skip
    before, then = whole.latency, after.latency
    cards.number(
        ngettext("Time for {n} image", "Time for {n} images", then.batch_size).format(n=then.batch_size),
        numbers.milliseconds(then.median_ms), found.timed,
        detail=_("of {whole}").format(whole=numbers.milliseconds(before.median_ms)),
        delta=numbers.percent(then.median_ms / before.median_ms - 1, 0), delta_color="inverse", container=places[3],
    )  # fmt: skip
