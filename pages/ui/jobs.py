"""Any background run on any page: where it stands, how long it will take, and the buttons to stop and resume it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import state
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import literal
from pages.ui.numbers import duration
from pruning_core.errors import UserError, clip
from pruning_core.runs.events import Outdated, Progress, Stage
from pruning_core.runs.view import JobView, State
from pruning_core.training.events import Checking, Step

POLL_S = 0.5
CALLED = 160  # characters of a run's title: a network and data, whose names are a stranger's

LOOKS = {
    State.QUEUED: ("gray", ":material/hourglass_empty:", N_("waiting")),
    State.RUNNING: ("blue", ":material/play_arrow:", N_("running")),
    State.DONE: ("green", ":material/check:", N_("done")),
    State.FAILED: ("red", ":material/error:", N_("failed")),
    State.CANCELLED: ("orange", ":material/cancel:", N_("cancelled")),
    State.INTERRUPTED: ("orange", ":material/power_off:", N_("interrupted")),
}

OLDER = N_(
    ":material/history: An older version of PruneScope stored this run, and a part of it can "
    "no longer be read. The same settings started again give all of it."
)


@dataclass(frozen=True)
class Advance:
    """How far a run has come: `share` in [0, 1], None when nobody can say; `text` stands beside the bar."""

    share: float | None
    text: str


def watch(job_id: str, *, key: str, draw: Callable[[JobView], None] | None = None, poll_s: float = POLL_S) -> JobView:
    """Show a run with its buttons until it has ended, and below it what `draw` makes of its events.

    Returns the snapshot of this run of the page.
    """

    def panel(views: tuple[JobView, ...]) -> None:
        _answer(key)
        _status_line(views[0], key)
        if draw is not None:
            draw(views[0])

    return follow((job_id,), panel, key=key, poll_s=poll_s)[0]


def follow(
    job_ids: Sequence[str], draw: Callable[[tuple[JobView, ...]], None], *, key: str, poll_s: float = POLL_S
) -> tuple[JobView, ...]:
    """Draw runs again and again while any of them goes on, without rerunning the page around them.

    When a run's state changes the whole page runs once more, so that what depends on it appears and the polling stops.
    Only the polling asks for that: the page itself draws what it saw, because a rerun in its midst would lose the click
    that it is answering.
    """

    def now() -> tuple[JobView, ...]:
        return tuple(state.jobs().snapshot(job_id) for job_id in job_ids)

    def body() -> None:
        with plain_errors():
            views = first.pop() if first else now()
            if [_status(view) for view in views] != [_status(view) for view in seen]:
                st.rerun()
            draw(views)

    seen = now()
    first = [seen]
    active = any(view.active for view in seen)
    st.fragment(body, run_every=poll_s if active else None, key=f"{key}.follow")()
    return seen


def advance(view: JobView) -> Advance:
    """Read from the newest event that says it."""
    if view.state is State.QUEUED:
        ahead = (view.position or 1) - 1
        waits = ngettext("{n} run before it in the queue", "{n} runs before it in the queue", ahead).format(n=ahead)
        return Advance(None, waits if ahead else _("next in the queue"))
    for event in reversed(view.events):
        match event:
            case Progress(done=done, total=total, unit=unit, seconds_left=left):
                return Advance(min(1.0, done / max(total, 1)), _of_all(done, total, unit) + _left(left))
            case Step(done=done, epoch=epoch, seconds_left=left):
                return Advance(min(1.0, done), _("epoch {n}").format(n=epoch) + _left(left))
            case Checking(images=images, total=total):
                whole = view.last(Step)  # the bar stands for the training, of which testing is a part
                share = whole.done if whole else images / max(total, 1)
                return Advance(min(1.0, share), _("testing: {n:,} of {total:,} images").format(n=images, total=total))
            case Stage(text=text):
                return Advance(None, clip(said(text), CALLED))
    return Advance(None, _("starting"))


def waiting(view: JobView) -> str:
    """For a figure that is not there yet: why, in a few words of Markdown. What went wrong is said by ``faults``."""
    now = advance(view)
    return f"{badge(view)} {literal(now.text) if view.active else _('not measured')}"


def faults(views: Sequence[JobView], *, key: str) -> None:
    """Why runs that a page starts by itself came to nothing: each reason once, and a way to try again."""
    _answer(key)
    failed = [view for view in views if view.state is State.FAILED]
    for reason in dict.fromkeys(view.error for view in failed):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(literal(said(reason)) if reason else _("It failed without a reason."), icon=":material/warning:")
            ids = tuple(view.id for view in failed if view.error == reason)
            st.button(
                _("Try again"),
                key=f"{key}.again.{ids[0]}",
                on_click=_resume,
                args=(*ids,),
                kwargs={"key": key},
                wrap=True,
            )


def badge(view: JobView) -> str:
    """The state as a small coloured word, in Markdown."""
    color, icon, word = LOOKS[view.state]
    return f":{color}-badge[{icon} {_('stopping') if view.stopping else _(word)}]"


def title(view: JobView) -> str:
    """What the run is called, in Markdown."""
    return literal(clip(said(view.title), CALLED))


def _left(seconds: float | None) -> str:
    return _(", {time} left").format(time=duration(seconds)) if seconds is not None else ""


def _of_all(done: int, total: int, unit: str) -> str:
    return _("{n:,} of {total:,} {unit}").format(n=done, total=total, unit=said(unit))


def _status(view: JobView) -> tuple[object, ...]:
    return view.state, view.stopping, view.attempt


def _status_line(view: JobView, key: str) -> None:
    with st.container(border=True):
        text, button = st.columns([5, 1], vertical_alignment="center")
        now = advance(view)
        note = (
            literal(now.text)
            if view.active
            else _("after {time}").format(time=duration(view.seconds))
            if view.seconds
            else ""
        )
        text.markdown(f"{badge(view)} **{title(view)}**" + (f" · :gray[{note}]" if note else ""))
        _button(view, key, button)
        if view.state is State.RUNNING:
            st.progress(now.share if now.share is not None else 0.0)
        if view.state is State.INTERRUPTED:
            st.caption(
                _("The server stopped while this was running. What was done is kept; resume goes on from there.")
            )
        if view.error:
            st.error(literal(said(view.error)), icon=LOOKS[State.FAILED][1])
        if view.last(Outdated) is not None:
            st.caption(_(OLDER))


def _button(view: JobView, key: str, place: DeltaGenerator) -> None:
    if view.state is State.DONE:
        return
    act: Callable[..., None] = _cancel if view.active else _resume
    word, label = ("cancel", _("Cancel")) if view.active else ("resume", _("Resume"))
    place.button(
        label, key=f"{key}.{word}", disabled=view.stopping, width="stretch", on_click=act, args=(view.id,),
        kwargs={"key": key}, wrap=True,
    )  # fmt: skip


# Callbacks, because the click counts even when the run has ended in the meantime; but what a fragment's callback shows
# lands in the wrong place, so the answer waits for the next drawing.


def _cancel(job_id: str, *, key: str) -> None:
    st.session_state[f"{key}.answer"] = str(state.jobs().cancel(job_id, state.owner()))


def _resume(*job_ids: str, key: str) -> None:
    try:
        for job_id in job_ids:
            state.jobs().resume(job_id, state.owner())
    except UserError as error:
        st.session_state[f"{key}.answer"] = str(error)


def _answer(key: str) -> None:
    if text := st.session_state.pop(f"{key}.answer", None):
        st.toast(literal(said(text)))
