"""The parts of the page."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.show import charts, sources
from pages.ui import cards, changes, jobs, latencies, links, made, numbers, pictures, plots, provenance, sizes, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.literal import literal
from pages.ui.pictures import Caption
from pages.ui.sizes import Size, Sizes
from pruning_core.errors import UserError
from pruning_core.runs.view import JobView, State
from pruning_core.studies.front import FrontRun
from pruning_core.studies.judging import check_right_or_wrong

SHOWN = 12  # images
AT, FROM, WHICH = "show.at", "show.from", "show.which"
ANY, CHANGED = "Test images in order", "Only where the answer changed"
COUNTED = provenance.derived("counted in the network")


def own(desk: Desk) -> None:
    """The network that the visitor has made, beside what it was made from."""
    with plain_errors():
        check_right_or_wrong(state.loaded(desk.model), state.splits(desk.data)[1])
        ids = made.runs_of_own(desk)

        def waits(views: tuple[JobView, ...]) -> None:
            if text := made.waiting(views):
                st.markdown(f"Measuring both networks: {text}")
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
        st.info("Nothing in this network can be cut. The Model page says what stands in the way.")
        return
    try:
        check_right_or_wrong(state.loaded(desk.model), state.splits(desk.data)[1])
    except UserError as error:
        st.info(literal(str(error)))
        return
    if not prepared:
        st.markdown(
            f"The network is cut to {len(run.shares)} sizes, mended, and each of them measured: accuracy, time, and "
            "its answer to every test image. Then a slider goes through them at once."
        )
    words = "Measure all sizes here and now" if prepared else "Measure all sizes"
    kind: Literal["primary", "secondary"] = "secondary" if prepared else "primary"
    if st.button(words, type=kind, icon=":material/play_arrow:", key="show.start", wrap=True):
        state.jobs().submit(run, state.owner())
        st.rerun()
    if not prepared:
        st.caption("Or make one on What-if and put it on the desk: this page then shows that one.")
        links.to_what_if()


@st.fragment
def screen(desk: Desk, found: Sizes) -> None:
    """Everything moves with the slider and nothing is computed anew."""
    count = len(found.sizes)
    at = _slider(found) if count > 2 else 1
    size = found.sizes[at]
    _numbers(found, size)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _images(desk, found, size)
    with right:
        st.markdown("**All sizes**" if count > 2 else "**Both networks**")
        plots.show(charts.front(found, at), "show.front")
        if found.prepared:
            st.caption(f"Prepared: {found.title}, {found.how}. Measured when this copy was made, not now.")
        else:
            st.caption(literal(f"{found.title}: {found.how}."))
        cards.source_line(found.measured, found.timed, COUNTED)


def _slider(found: Sizes) -> int:
    shares = [numbers.percent(each.macs / found.whole.macs, 0) for each in found.sizes]
    names = [f"{share} of the work" for share in shares]
    middle = names[min(range(len(names)), key=lambda at: abs(found.sizes[at].share - sizes.SHOWN_FIRST))]
    chosen = st.select_slider("Size of the network", names, middle, key=AT, persist_state="session")
    return names.index(chosen) if chosen in names else len(names) // 2


def _numbers(found: Sizes, size: Size) -> None:
    whole, places = found.whole, cards.row(4)
    for place, label, first, last, show in (
        (places[0], "Size", whole.size_bytes, size.size_bytes, numbers.size_bytes),
        (places[1], "Work for one image", whole.macs, size.macs, numbers.count),
    ):
        less = "smaller" if label == "Size" else "fewer MACs"
        detail = "as before" if first == last else f"{numbers.fold(first, last)} {less}, of {show(first)}"
        cards.number(label, show(last), COUNTED, detail=detail, container=place)
    _time(found, size, places[2])
    accuracy = size.accuracy
    cards.number(
        "Accuracy",
        numbers.percent(accuracy.top1),
        found.measured,
        detail=f"{100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}, before {numbers.percent(whole.accuracy.top1)}",
        change=changes.paired(size.drop) if size.drop else None,
        help="Share of test images that it gets right; below: the 95 % interval.",
        container=places[3],
    )


def _time(found: Sizes, size: Size, place: DeltaGenerator) -> None:
    first, last = found.whole.latency, size.latency
    same = size is found.whole or latencies.indistinct(first, last)
    told = "" if size is found.whole else ", no difference can be told" if same else ""
    detail = f"{first.median_ms / last.median_ms:.2f}× as fast" if not same else "the whole network"
    if told:
        detail = f"before {numbers.milliseconds(first.median_ms)}{told}"
    cards.number(
        f"Time for {last.batch_size} image{'' if last.batch_size == 1 else 's'}",
        numbers.milliseconds(last.median_ms),
        found.timed,
        detail=detail,
        help=f"Most passes took {last.p10_ms:.3g} to {last.p90_ms:.3g} ms. Time falls less than the work does: "
        "starting each layer takes its time too.",
        container=place,
    )


def _images(desk: Desk, found: Sizes, size: Size) -> None:
    _, test = state.splits(desk.data)
    if len(test) != len(size.predicted):
        st.caption("The images on the desk are others than those that were measured.")
        return
    changed = [at for at, (one, other) in enumerate(zip(found.whole.predicted, size.predicted)) if one != other]
    which = st.segmented_control(
        "Images", (ANY, CHANGED), default=ANY, required=True, key=WHICH, persist_state="session", wrap=True,
        label_visibility="collapsed",
    )  # fmt: skip
    pool = changed if which == CHANGED else list(range(len(test)))
    first = st.session_state.get(FROM, 0) if st.session_state.get(FROM, 0) < len(pool) else 0
    shown = pool[first : first + SHOWN]
    labels = test.labels.tolist()
    before, after = st.columns(2, gap="medium")
    for place, heading, who in ((before, "Before", found.whole), (after, "After", size)):
        place.markdown(f"**{heading}** :gray[{numbers.count(who.parameters)} parameters]")
        said = [
            [Caption(pictures.class_name(test, who.predicted[at]), who.predicted[at] == labels[at])] for at in shown
        ]
        if shown:
            place.html(pictures.gallery(test, shown, said))
    if not shown:
        st.info("Both networks give the same answer to every test image.")
    if len(pool) > SHOWN:
        st.button("Other images", key="show.next", icon=":material/refresh:", on_click=_next, args=(len(pool),),
                  wrap=True)  # fmt: skip
    st.caption(
        f"Of {len(test):,} test images, {len(changed):,} get another answer than before: "
        f"{size.drop.lost if size.drop else 0} that were right are wrong now, "
        f"{size.drop.gained if size.drop else 0} that were wrong are right."
    )


def _next(count: int) -> None:
    st.session_state[FROM] = (st.session_state.get(FROM, 0) + SHOWN) % count
