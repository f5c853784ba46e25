"""Work that reports through a callback, seen as events."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pruning_core.errors import UserError
from pruning_core.runs import narrate
from pruning_core.runs.events import Progress, Stage
from pruning_core.runs.narrate import Report, narrated, throttled
from pruning_core.storage.memory import free_memory, out_of_memory


def test_reports_become_events_and_the_result_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrate, "EVERY", 0.001)
    seen = [threading.Event() for _ in range(3)]

    def work(report: Report) -> str:
        for number, what in enumerate(("reading", "reading", "decoding")):
            report(what, number, 3)
            assert seen[number].wait(20)
        return "result"

    events, results = [], []

    def follow() -> None:
        stream = narrated(work, "images")
        while True:
            try:
                event = next(stream)
            except StopIteration as end:
                results.append(end.value)
                return
            events.append(event)
            if isinstance(event, Progress):
                seen[event.done].set()

    follow()
    assert results == ["result"]
    assert list(dict.fromkeys(events)) == [
        Stage("reading"),
        Progress(0, 3, "images"),
        Progress(1, 3, "images"),
        Stage("decoding"),
        Progress(2, 3, "images"),
    ]


def test_closing_stops_the_work_at_its_next_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrate, "EVERY", 0.001)
    closing, ended = threading.Event(), threading.Event()

    def work(report: Report) -> None:
        report("downloading", 1, 9)
        try:
            assert closing.wait(20)
            while True:
                try:
                    report("downloading", 2, 9)
                except Exception:  # what careless code does; the stop gets through all the same
                    continue
        finally:
            ended.set()

    stream = narrated(work, "files")
    assert next(stream) == Stage("downloading")
    closing.set()
    stream.close()
    assert ended.is_set()


def test_errors_of_the_work_are_raised_where_it_is_awaited() -> None:
    def work(report: Report) -> None:
        raise UserError("The archive is damaged.")

    with pytest.raises(UserError, match="damaged"):
        list(narrated(work, "files"))


def test_throttling_keeps_the_first_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pruning_core.runs.narrate.time.perf_counter", lambda: now[0])

    def ticking():
        for number in range(10):
            yield number
            now[0] += 0.1

    assert list(throttled(ticking())) == [0, 3, 6, 9]
    assert list(throttled(iter("ab"))) == ["a", "b"] and list(throttled([])) == []


def test_an_exhausted_memory_is_told_from_other_errors() -> None:
    assert all(map(out_of_memory, (MemoryError(), RuntimeError("CUDA out of memory. Tried"), RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    ))))  # fmt: skip
    assert not any(map(out_of_memory, (RuntimeError("shape mismatch"), ValueError("out of memory"))))


def test_the_free_memory_is_the_smaller_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:      50 kB\n")
    assert free_memory(meminfo, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_memory(meminfo, tmp_path) == 2000
    assert free_memory(tmp_path / "none", tmp_path) == float("inf")
    assert free_memory() > 0
