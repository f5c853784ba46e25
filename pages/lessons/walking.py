"""Which lesson, which step: the question first, the answer once it is asked for, then the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.lessons.lesson import Lesson, Step
from pages.ui import cards, plots
from pages.ui.demo import Demo
from pages.ui.language import _
from pages.ui.literal import literal

LESSON = "lessons.lesson"


def choose(lessons: Sequence[Lesson]) -> Lesson:
    by_key = {lesson.key: lesson for lesson in lessons}
    titles = {key: f"{number}. {_(lesson.title)}" for number, (key, lesson) in enumerate(by_key.items(), 1)}
    st.session_state.setdefault(LESSON, lessons[0].key)
    chosen = st.segmented_control(
        _("Lesson"),
        list(by_key),
        format_func=lambda key: titles[key],
        key=LESSON,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
        wrap=True,
    )
    return by_key[chosen or lessons[0].key]


def step(lesson: Lesson, demo: Demo) -> None:
    place = f"lessons.{lesson.key}.step"
    number = min(int(st.session_state.get(place, 0)), len(lesson.steps))
    st.markdown(_(lesson.about))
    if number == len(lesson.steps):
        _end(lesson, place)
        return
    now = lesson.steps[number]
    asked = f"lessons.{lesson.key}.{number}.asked"
    with st.container(border=True):
        st.progress(
            (number + 1) / len(lesson.steps),
            text=_("Step {number} of {n}").format(number=number + 1, n=len(lesson.steps)),
        )
        st.subheader(_(now.question))
        if not st.session_state.get(asked):
            st.caption(_("What do you expect? Then see it measured."))
            st.button(
                _("Measure it"), type="primary", icon=":material/play_arrow:", key=f"{asked}.button", on_click=_set,
                args=(asked, True), wrap=True,
            )  # fmt: skip
        elif _answer(now, demo, f"lessons.{lesson.key}.{number}"):
            last = number + 1 == len(lesson.steps)
            st.button(
                _("Finish") if last else _("Next"),
                type="primary",
                icon=":material/arrow_forward:",
                key=f"{asked}.next",
                on_click=_set,
                args=(place, number + 1),
                wrap=True,
            )
    if number:
        st.button(_("Back"), type="tertiary", key=f"{asked}.back", on_click=_set, args=(place, number - 1), wrap=True)


def _answer(now: Step, demo: Demo, key: str) -> bool:
    """Whether it is there."""
    with st.spinner(_("Measuring …"), show_time=True):
        shown = now.measure(demo)
    if shown is None:
        return False
    left, right = st.columns([3, 2], gap="large")
    with left:
        plots.show(shown.figure, f"{key}.figure", still=True)
        cards.source_line(*shown.sources)
    with right:
        if shown.unclear:
            st.warning(shown.unclear, icon=":material/warning:")
            st.button(_("Measure again"), icon=":material/replay:", key=f"{key}.again", wrap=True)
        else:
            st.session_state[f"{key}.values"] = dict(shown.values)
            st.markdown(_("**Measured:** {text}").format(text=_told(now, shown.values)))
        st.markdown(_("**What follows:** {text}").format(text=_(now.meaning)))
    return True


def _told(now: Step, values: Mapping[str, str]) -> str:
    return _(now.found).format(**{name: literal(value) for name, value in values.items()})


def _end(lesson: Lesson, place: str) -> None:
    with st.container(border=True):
        st.subheader(_("That was: {lesson}").format(lesson=_(lesson.title)))
        for number, each in enumerate(lesson.steps):
            values = st.session_state.get(f"lessons.{lesson.key}.{number}.values")
            measured = f"{_told(each, values)}  \n" if values else ""
            st.markdown(f"**{_(each.question)}**  \n{measured}:gray[{_(each.meaning)}]")
        st.button(
            _("Begin it again"),
            icon=":material/replay:",
            key=f"{place}.again",
            on_click=_set,
            args=(place, 0),
            wrap=True,
        )


def _set(key: str, value: object) -> None:
    st.session_state[key] = value
