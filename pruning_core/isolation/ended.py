"""How a child ended, in words: a crash, too much memory and too much time are told apart."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum

from pruning_core.isolation.limits import Death, Limits


class How(StrEnum):
    """``ITSELF``: it said its last word. ``STOPPED``: nobody wanted it any more. ``GONE``: nobody knows."""

    ITSELF = "itself"
    CRASHED = "crashed"
    MEMORY = "memory"
    TIME = "time"
    DISK = "disk"
    NONSENSE = "nonsense"
    STOPPED = "stopped"
    GONE = "gone"


SIGNALS: dict[int, str] = {
    signal.SIGSEGV: "it reached for memory that is not there",
    signal.SIGBUS: "it reached for memory that is not there",
    signal.SIGABRT: "it gave up by itself",
    signal.SIGFPE: "it divided by zero",
    signal.SIGILL: "it used an instruction that this processor lacks",
    signal.SIGSYS: "it asked the system for what it may not have",
    signal.SIGTRAP: "it gave up by itself",
}


@dataclass(frozen=True)
class End:
    """``reason`` completes a sentence: "… ended its reader: <reason>"."""

    how: How
    reason: str = ""

    @property
    def killed(self) -> bool:
        """Whether it ended otherwise than by its last word or by our wish."""
        return self.how not in (How.ITSELF, How.STOPPED)


MEMORY = "it took more memory than there is for it"
NONSENSE = End(How.NONSENSE, "what it answered is no answer")
GONE = End(How.GONE, "the process that watches over it is gone")
STOPPED = End(How.STOPPED, "it was stopped")


def end_of(death: Death, limits: Limits) -> End:
    """What the fork server tells of an end that came without a last word."""
    if death.why == "memory":
        return End(How.MEMORY, MEMORY + _size(limits.memory))
    if death.why == "time":
        return End(How.TIME, f"it was not done after {limits.wall_s:g} seconds")
    if death.why == "disk":
        return End(How.DISK, "it wrote more than there is room for" + _size(limits.disk))
    if not os.WIFSIGNALED(death.status):
        return End(How.CRASHED, f"it left with the code {os.waitstatus_to_exitcode(death.status)} and said nothing")
    number = os.WTERMSIG(death.status)
    if number == signal.SIGXCPU:
        return End(How.TIME, f"it took more than {limits.processor_s} seconds of processor time")
    if number == signal.SIGKILL:  # not by the fork server, which would say why: by the system, for its memory
        return End(How.MEMORY, "the system ended it, most likely because its memory was full")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return End(How.CRASHED, f"{SIGNALS.get(number, 'it crashed')} ({name})")


def _size(bytes_: int | None) -> str:
    return "" if bytes_ is None else f" ({bytes_ / 2**20:,.0f} MiB)"
