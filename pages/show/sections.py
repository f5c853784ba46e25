"""The parts of the page."""

from __future__ import annotations

from typing import Literal

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.show import charts, sources
from pages.ui import (
    cards,
    changes,
    jobs,
    latencies,
    links,
    made,
    measured,
    numbers,
    pictures,
    plots,
    provenance,
    sizes,
    state,
)
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import literal
from pages.ui.pictures import Caption
from pages.ui.sizes import Size, Sizes
from pruning_core.errors import UserError
from pruning_core.runs.view import JobView, State
from pruning_core.studies.front import FrontRun

SHOWN = 12  # images
AT, FROM, WHICH = "show.at", "show.from", "show.which"
ANY, CHANGED = N_("Test images, mixed"), N_("Only where the answer changed")
COUNTED = provenance.derived(N_("counted in the network."))


def own(desk: Desk) -> None:
    """The network that the visitor has made, beside what it was made from."""
    with plain_errors():
        ids = made.runs_of_own(desk)

        def waits(views: tuple[JobView, ...]) -> None:
            if text := made.waiting(views):
                st.markdown(_("Measuring both networks: {text}").format(text=text))
            jobs.faults(views, key="show.own")

        found = made.own(desk, jobs.follow(ids, waits, key="show.own"))
        if found is not None:
            screen(desk, found)


def several(desk: Desk, run: FrontRun) -> Sizes | None:
    """What was measured here of this network; None before there is anything to compare."""
    known = state.jobs().find(run)
    if known is None:
        return None
    view = known if known.state is State.DONE else jobs.watch(known.id, key="show.run")
    return sources.measured(run, state.jobs().snapshot(view.id))


def offer(desk: Desk, run: FrontRun, prepared: bool) -> None:
    """The way to have all sizes measured here."""
    if state.jobs().find(run) is not None:
        return
    if not state.network(desk.model).groups:
        st.info(_("Nothing in this network can be cut. The Model page says what stands in the way."))
        return
    try:
        judged = measured.of_desk(desk)
    except UserError as error:
        st.info(literal(said(str(error))))
        return
    if not prepared:
        words = (
            _(
                "The network is cut to {n} sizes, mended, and each of them measured: accuracy, "
                "time, and its answer to every test image. Then a slider goes through them at once."
            )
            if made.of_classes(desk.model, desk.data)
            else _(
                "The network is cut to {n} sizes, mended, and each of them timed, and judged on the test images "
                "({measure}). Then a slider goes through them at once."
            )
        )
        st.markdown(words.format(n=len(run.shares), measure=said(judged.name)))
    words = _("Measure all sizes here and now") if prepared else _("Measure all sizes")
    kind: Literal["primary", "secondary"] = "secondary" if prepared else "primary"
    if st.button(words, type=kind, icon=":material/play_arrow:", key="show.start", wrap=True):
        state.jobs().submit(run, state.owner())
        st.rerun()
    if not prepared:
        st.caption(_("Or make one on What-if and put it on the desk: this page then shows that one."))
        links.to_what_if()


@st.fragment
def screen(desk: Desk, found: Sizes) -> None:
    """Everything moves with the slider and nothing is computed anew."""
    count = len(found.sizes)
    at = _slider(found) if count > 2 else 1
    size = found.sizes[at]
    _numbers(found, size)
    if found.of_classes:
        left, right = st.columns([3, 2], gap="medium")
        with left:
            _images(desk, found, size)
    else:
        right = st.container()
    with right:
        st.markdown(_("**All sizes**") if count > 2 else _("**Both networks**"))
        plots.show(charts.front(found, at), "show.front")
        if found.prepared:
            st.caption(
                _("Prepared: {network}, {how}. Measured when this copy was made, not now.").format(
                    network=found.title, how=found.how
                )
            )
        else:
            st.caption(literal(f"{found.title}: {found.how}."))
        cards.source_line(found.measured, found.timed, COUNTED)


def _slider(found: Sizes) -> int:
    shares = [numbers.percent(each.macs / found.whole.macs, 0) for each in found.sizes]
    names = [f"{share} of the work" for share in shares]
    middle = names[min(range(len(names)), key=lambda at: abs(found.sizes[at].share - sizes.SHOWN_FIRST))]
    told = {name: _("{share} of the work").format(share=share) for name, share in zip(names, shares)}
    chosen = st.select_slider(
        _("Size of the network"), names, middle, format_func=told.__getitem__, key=AT, persist_state="session"
    )
    return names.index(chosen) if chosen in names else len(names) // 2


def _numbers(found: Sizes, size: Size) -> None:
    whole, places = found.whole, cards.row(4)
    for place, label, less, first, last, show in (
        (places[0], _("Size"), _("{fold} smaller, of {whole}"), whole.size_bytes, size.size_bytes, numbers.size_bytes),
        (places[1], _("Work for one image"), _("{fold} fewer MACs, of {whole}"), whole.macs, size.macs, numbers.count),
    ):
        detail = _("as before") if first == last else less.format(fold=numbers.fold(first, last), whole=show(first))
        cards.number(label, show(last), COUNTED, detail=detail, container=place)
    _time(found, size, places[2])
    worth = size.accuracy
    key = worth.measure
    cards.number(
        _("Accuracy") if found.of_classes else said(measured.measure(key).name),
        measured.value(worth),
        found.measured,
        detail=_("{bounds}, before {before}").format(
            bounds=measured.bounds(worth), before=measured.value(whole.accuracy)
        ),
        change=changes.paired(size.drop) if size.drop else None,
        help=_("Share of test images that it gets right; below: the 95 % interval.")
        if found.of_classes
        else f"{measured.sentence(key)} {measured.interval_help(key)}",
        container=places[3],
    )


def _time(found: Sizes, size: Size, place: DeltaGenerator) -> None:
    first, last = found.whole.latency, size.latency
    same = size is found.whole or latencies.indistinct(first, last)
    if size is found.whole:
        detail = _("the whole network")
    elif same:
        detail = _("before {time}, no difference can be told").format(time=numbers.milliseconds(first.median_ms))
    else:
        detail = _("{fold:.2f}× as fast").format(fold=first.median_ms / last.median_ms)
    cards.number(
        ngettext("Time for {n} image", "Time for {n} images", last.batch_size).format(n=last.batch_size),
        numbers.milliseconds(last.median_ms),
        found.timed,
        detail=detail,
        help=_(
            "Most passes took {low:.3g} to {high:.3g} ms. Time falls less than the work does: starting each layer "
            "takes its time too."
        ).format(low=last.p10_ms, high=last.p90_ms),
        container=place,
    )


def _images(desk: Desk, found: Sizes, size: Size) -> None:
    test = state.splits(desk.data)[1]
    if len(test) != len(size.predicted):
        st.caption(_("The images on the desk are others than those that were measured."))
        return
    changed = [at for at, (one, other) in enumerate(zip(found.whole.predicted, size.predicted)) if one != other]
    which = st.segmented_control(
        _("Images"),
        (ANY, CHANGED),
        format_func=_,
        default=ANY,
        required=True,
        key=WHICH,
        persist_state="session",
        wrap=True,
        label_visibility="collapsed",
    )
    pool = changed if which == CHANGED else mixed(len(test))
    first = st.session_state.get(FROM, 0) if st.session_state.get(FROM, 0) < len(pool) else 0
    shown = pool[first : first + SHOWN]
    labels = test.labels.tolist()
    before, after = st.columns(2, gap="medium")
    for place, heading, who in ((before, _("Before"), found.whole), (after, _("After"), size)):
        place.markdown(f"**{heading}** :gray[{_('{n} parameters').format(n=numbers.count(who.parameters))}]")
        captions = [
            [Caption(pictures.class_name(test, who.predicted[at]), who.predicted[at] == labels[at])] for at in shown
        ]
        if shown:
            place.html(pictures.gallery(test, shown, captions))
    if not shown:
        st.info(_("Both networks give the same answer to every test image."))
    if len(pool) > SHOWN:
        st.button(_("Other images"), key="show.next", icon=":material/refresh:", on_click=_next, args=(len(pool),),
                  wrap=True)  # fmt: skip
    st.caption(
        _(
            "Of {all:,} test images, {n:,} get another answer than before: {lost} that were right are wrong now, "
            "{gained} that were wrong are right."
        ).format(
            all=len(test),
            n=len(changed),
            lost=size.drop.lost if size.drop else 0,
            gained=size.drop.gained if size.drop else 0,
        )
    )


def mixed(images: int) -> list[int]:
    """Their numbers, the same at every visit: of a set that comes class by class one would see the first class."""
    return [int(each) for each in np.random.RandomState(0).permutation(images)]


def _next(count: int) -> None:
    st.session_state[FROM] = (st.session_state.get(FROM, 0) + SHOWN) % count
