"""A spinner for what is made once and remembered: where that is still there, none begins.

A spinner is a thread and four messages to the browser, and a page asks for its network a dozen times.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

T = TypeVar("T")

# Weak: what the caches have let go of is made again, with a spinner.
_there: WeakValueDictionary[tuple[object, ...], object] = WeakValueDictionary()


def waiting(text: str, make: Callable[..., T], *key: Hashable) -> T:
    """``make(*key)``, which remembers what it made; ``text`` is shown when that takes more than a moment.

    In a thread without a page nothing is shown. Raises whatever ``make`` raises.
    """
    name = (make.__qualname__, *key)
    if name in _there or get_script_run_ctx(suppress_warning=True) is None:
        return make(*key)
    with st.spinner(text, show_time=True):
        made = make(*key)
    _there[name] = made[0] if isinstance(made, tuple) else made
    return made
