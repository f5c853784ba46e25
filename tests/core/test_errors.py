"""What a sentence may quote of somebody's file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.errors import QUOTED, UserError, clip, quoted


@given(st.text(max_size=400))
def test_a_quoted_name_is_short_printable_and_keeps_its_ends(text):
    told = clip(text)
    assert len(told) <= QUOTED and told.isprintable()
    if text.isprintable() and len(text) <= QUOTED:
        assert told == text
    if text.isprintable() and len(text) > QUOTED:
        assert text.startswith(told[:50]) and text.endswith(told[-20:]) and "…" in told
    assert quoted(text) == repr(told)


def test_nothing_that_turns_the_line_around_gets_through():
    assert clip("weights\u202etp.exe\n\x1b[31m") == "weights\ufffdtp.exe\ufffd\ufffd[31m"
    assert clip("x" * 300 + ".onnx").endswith(".onnx"), "the suffix says what a file is"


@pytest.mark.parametrize("length", [5_000, 25_000_000])
def test_a_sentence_that_a_name_got_into_is_cut(length):
    assert len(str(UserError(f"{'n' * length!r} is too large. Send less."))) <= 4000
    assert str(UserError("n" * length)).endswith("n")
    assert str(UserError("One line.\nAnother.")) == "One line.\nAnother.", "what we wrote ourselves stays as it is"
