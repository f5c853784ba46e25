"""Driving a generator: everything is said, the result comes back, and nothing stays open."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pruning_core.work import finished, told


def counting(closed: list[str], fails_at: int | None = None) -> Generator[int, None, str]:
    try:
        for n in range(3):
            if n == fails_at:
                raise ZeroDivisionError
            yield n
        return "result"
    finally:
        closed.append("closed")


def test_what_is_said_and_the_result_come_out() -> None:
    closed: list[str] = []

    def outer() -> Generator[str, None, str]:
        return (yield from told(counting(closed), lambda n: (f"{n}a", f"{n}b")[: 2 - n % 2]))

    run = outer()
    heard = []
    with pytest.raises(StopIteration) as end:
        while True:
            heard.append(next(run))
    assert heard == ["0a", "0b", "1a", "2a", "2b"] and end.value.value == "result"
    assert finished(counting(closed)) == finished(told(counting(closed), lambda _: ())) == "result"
    assert closed == ["closed"] * 3


def test_whoever_stops_listening_closes_the_work_too() -> None:
    closed: list[str] = []
    work = counting(closed)  # held here, so that no garbage collector closes it
    run = told(work, lambda n: (n,))
    assert next(run) == 0 and not closed
    run.close()
    assert closed == ["closed"] and next(work, "over") == "over"


def test_an_error_of_whoever_tells_closes_the_work_too() -> None:
    closed: list[str] = []
    work = counting(closed)
    with pytest.raises(KeyError):
        list(told(work, lambda n: (_ for _ in [{}[n]])))
    assert closed == ["closed"] and next(work, "over") == "over"


def test_an_error_of_the_work_comes_through() -> None:
    closed: list[str] = []
    with pytest.raises(ZeroDivisionError):
        finished(told(counting(closed, fails_at=1), lambda n: (n,)))
    assert closed == ["closed"]
