"""One Jobs per process: a message that any browser may send empties Streamlit's caches."""

import threading
import time

import pytest
import streamlit as st

from pages.ui import errors, state
from pages.ui.once import Once
from pruning_core.errors import UserError
from pruning_core.storage import trouble


def test_emptied_caches_make_no_second_jobs(data_directory):
    before = state.jobs()
    st.cache_resource.clear()
    st.cache_data.clear()
    try:
        assert state.jobs() is before and state.workspace() is before.workspace
        assert len(list((data_directory / "servers").glob("*.lock"))) == 1
    finally:
        before.close()
        state._jobs.clear()


def test_visitors_who_come_together_get_the_same():
    made = []

    def make(name):
        time.sleep(0.05)
        made.append(name)
        return object()

    once = Once(make)
    got = []
    threads = [threading.Thread(target=lambda: got.append(once("a"))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert made == ["a"] and len({id(each) for each in got}) == 1
    assert once("b") is not once("a") and set(once.made()) == {once("a"), once("b")}


def test_what_could_not_be_made_is_tried_again():
    tries = []

    def make(name):
        tries.append(name)
        if len(tries) == 1:
            raise UserError("The directory cannot be written.")
        return name

    once = Once(make)
    with pytest.raises(UserError):
        once("a")
    assert once("a") == "a"


def test_a_full_disk_is_a_sentence_wherever_it_happens(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert errors.report(caught.value) == trouble.FULL
    assert "incident" in errors.report(ValueError("a bug"))
