"""Fuzzing of everything that reads what a stranger sends: whatever comes, a UserError within bounds.

    python -m benchmarks.fuzz --minutes 40               every door in turn: files of the tests, changed at random
    python -m benchmarks.fuzz --only onnx --minutes 5    one door
    python -m benchmarks.fuzz --guided --minutes 40      led by what the code covers; needs atheris, which is no part of
                                                         the project: put it into an environment beside it

Each door has a process of its own with a limit of memory; a file that ends it, takes too long or too much, or gives
anything but a UserError, is a finding: it is kept under its hash in the folder that is named at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from benchmarks.fuzz_mutate import mutate
from benchmarks.fuzz_seeds import ROOT
from benchmarks.fuzz_targets import TARGETS

MEMORY = 5 << 30  # bytes of addresses of a door's process: torch takes most of them
GROWN = 600 << 20  # bytes by which one file may raise the peak
LONG_S = 30.0  # of one file; the machine may be busy, so the processor's time counts
KEPT = 300  # files that are changed further
STUCK_S = 300.0


class TooLong(BaseException):
    """Raised by the clock; no loader catches it."""


def run(name: str, seconds: float, seed: int, found: Path, guided: bool) -> None:
    """One door, in this process."""
    from pruning_core.errors import UserError

    target, dice = TARGETS[name], random.Random(seed)
    seeds = [bytes(each) for each in target.seeds()]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _too_long)
    seen: set[str] = set()
    state = {"files": 0, "taken": 0, "findings": 0}
    began = time.monotonic()

    def one(data: bytes) -> str:
        """What came of it, in a word that tells kinds of refusals apart."""
        state["files"] += 1
        (found / f"{name}.now").write_bytes(data)
        peak, what, trace = _peak(), "taken", ""
        with TemporaryDirectory() as folder:
            signal.setitimer(signal.ITIMER_PROF, LONG_S)
            try:
                target.take(data, Path(folder))
                state["taken"] += 1
            except UserError as error:
                what = f"refused {str(error)[:40]}"
                if len(str(error)) > 2000:
                    what = "finding: a sentence of " + str(len(str(error)))
            except BaseException as error:
                what = f"finding: {type(error).__name__} at {_where()}"
                trace = traceback.format_exc()
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        if not what.startswith("finding") and _peak() - peak > GROWN and state["files"] > len(seeds):
            what = "finding: memory"
        if what.startswith("finding") and what not in seen:
            state["findings"] += 1
            _keep(found, name, data, f"{what}\n\n{trace}")
        seen.add(what)
        if state["files"] % 50 == 0:
            report()
        return what

    def report() -> None:
        line = {"door": name, **state, "kinds": len(seen), "seconds": round(time.monotonic() - began)}
        (found / f"{name}.{seed}.json").write_text(json.dumps(line))

    for data in seeds:
        one(data)
    report()
    if guided:
        _guided(one, seeds, dice, began + seconds, report)
        return
    corpus = list(seeds)
    while time.monotonic() < began + seconds:
        data = mutate(dice.choice(corpus), dice, seeds)
        known = len(seen)
        one(data)
        if len(seen) > known:  # another way to be refused: worth changing further
            corpus = [*corpus, data][-KEPT:] if len(corpus) >= KEPT else [*corpus, data]
    report()


def _guided(one: Any, seeds: list[bytes], dice: random.Random, until: float, report: Any) -> None:
    """libFuzzer chooses what is changed further, by what the project's own code has covered."""
    import atheris

    def test(data: bytes) -> None:
        one(data)
        if time.monotonic() > until:
            report()
            os._exit(0)

    def change(data: bytes, most: int, seed: int) -> bytes:
        changed = mutate(data, random.Random(seed), seeds) if dice.random() < 0.8 else atheris.Mutate(data, most)
        return changed[:most]

    with TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(data)
        options = [sys.argv[0], corpus, "-max_len=1048576", "-timeout=600", "-rss_limit_mb=0", "-verbosity=0"]
        atheris.Setup(options, test, custom_mutator=change)
        atheris.Fuzz()


def _too_long(*_: object) -> None:
    raise TooLong


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _where() -> str:
    """The innermost place in the project's own code."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [each for each in frames if "pruning_core" in each.filename]
    last = (own or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _keep(found: Path, name: str, data: bytes, what: str) -> None:
    path = found / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(what)
    print(f"{name}: {what.partition(chr(10))[0]}: {path}", flush=True)


def supervise(name: str, seconds: float, found: Path, guided: bool) -> None:
    """Runs one door until its time is over, again where a file has ended its process."""
    began, seed = time.monotonic(), 0
    while (left := seconds - (time.monotonic() - began)) > 1:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--door", name, "--seconds", str(left), "--seed", str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PRUNESCOPE_DATA": str(found / "data")}
        process = subprocess.Popen(
            [*command, "--found", str(found), *(["--guided"] if guided else [])], cwd=ROOT, env=environment
        )
        try:
            ended = process.wait(left + STUCK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            ended = -signal.SIGKILL
        if ended == 0:
            return
        seed += 1
        last = found / f"{name}.now"
        if last.exists():
            kept = found / f"{name}-ended-{seed}"
            shutil.copy(last, kept)
            print(f"{name}: finding: the process ended with {ended}: {kept}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--guided", action="store_true")
    for hidden, kind in (("--door", str), ("--seconds", float), ("--found", Path), ("--seed", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.door:
        if chosen.guided:
            import atheris

            code = TARGETS[chosen.door].code
            with atheris.instrument_imports(include=[code], enable_loader_override=False):
                importlib.import_module(code)
        run(chosen.door, chosen.seconds, chosen.seed, chosen.found, chosen.guided)
        return
    found = chosen.found or Path(mkdtemp(prefix="prunescope-fuzz-"))
    found.mkdir(exist_ok=True)
    names = chosen.only or list(TARGETS)
    for name in names:
        supervise(name, 60 * chosen.minutes / len(names), found, chosen.guided)
    for each in sorted(found.glob("*.json")):
        print(each.read_text())
    print(f"findings, if any, lie in {found}")


if __name__ == "__main__":
    main()
