"""Six short lessons: a question, a measurement on the demo network that answers it, and what follows."""

import streamlit as st

from pages.lessons import walking
from pages.lessons.lessons import LESSONS
from pages.ui.demo import Demo
from pages.ui.errors import plain_errors
from pages.ui.language import _

st.title(_("Lessons"))
st.markdown(
    _(
        "Six questions about pruning. Each step asks, then measures the answer here and now on the demo network, "
        "whatever is on your desk. Nothing is changed by it."
    )
)
lesson = walking.choose(LESSONS)
with plain_errors():
    walking.step(lesson, Demo.first())
