"""A child may do what it likes: it ends with a reason, takes nothing along and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import UserError
from pruning_core.isolation import landlock, syscalls
from pruning_core.isolation.child import Broke, Died
from pruning_core.isolation.children import Children
from pruning_core.isolation.ended import How
from pruning_core.isolation.limits import Limits
from pruning_core.isolation.wire import Kind

ROOT = Path(__file__).parents[2]
TASKS = "tests.core.isolated_tasks"
PATIENCE = 20.0
HOME = Path()  # where the children have their folders
SECRET = "not for a stranger's eyes"


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    os.environ["STREAMLIT_SERVER_COOKIE_SECRET"] = SECRET
    global HOME
    HOME = tmp_path_factory.mktemp("children")
    made = Children(TASKS)
    with made.begin("echo", None, Limits(), HOME) as child:
        child.result()  # the fork server has imported what it needs, so that times below are those of children
    yield made
    made.close()
    del os.environ["STREAMLIT_SERVER_COOKIE_SECRET"]


def run(children: Children, task: str, given: Any = None, **limits: Any) -> Any:
    with children.begin(task, given, Limits(**limits), HOME) as child:
        return child.result()


def ended(children: Children, task: str, given: Any = None, **limits: Any) -> Died:
    with children.begin(task, given, Limits(**limits), HOME) as child, pytest.raises(Died) as died:
        child.result()
    return died.value


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


# -- what it is for ----------------------------------------------------------------------------------------------------


def test_a_task_says_what_happens_and_what_came_of_it(children: Children) -> None:
    with children.begin("echo", {"a": [1, None, "é"]}, Limits(), HOME) as child:
        assert list(child.messages()) == [
            (Kind.EVENT, "one"), (Kind.EVENT, "two"), (Kind.LOG, "a line for the log"),
            (Kind.RESULT, {"a": [1, None, "é"]}),
        ]  # fmt: skip
        assert child.end.how is How.ITSELF


def test_a_child_is_alone_small_and_knows_no_secret(children: Children) -> None:
    found = run(children, "about", threads=2, nice=7)
    assert found["pid"] != os.getpid() and found["group"] == found["pid"]
    assert found["nice"] == os.getpriority(os.PRIO_PROCESS, 0) + 7
    assert (found["threads"], found["running"]) == (2, 1)
    assert len(found["open"]) == 1 and found["open"][0].startswith("socket:"), "its channel and nothing else"
    assert SECRET not in str(found["environment"]) and "PATH" in found["environment"]
    assert not Path(found["here"]).exists(), "its folder goes with it"


def test_files_that_it_left_are_there_until_the_child_is_let_go(children: Children) -> None:
    with children.begin("leaves", [1, 2], Limits(), HOME) as child:
        child.result()
        assert (child.folder / "left.json").read_text() == "[1, 2]"
        assert eventually(lambda: child._told.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b"")
        assert (child.folder / "left.json").exists(), "also when its process has ended"
    assert not child.folder.exists()


def test_a_child_waits_for_its_order_and_its_loss_is_made_good(children: Children) -> None:
    process = children._process
    assert children.ready and process is not None
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def waiting() -> set[int]:
        """Children that were told nothing yet: one with an order is in its own folder, and a dying one nowhere."""
        found = set()
        for pid in map(int, listed.read_text().split()):
            with contextlib.suppress(OSError):
                found |= {pid} if os.readlink(f"/proc/{pid}/cwd") == os.readlink(f"/proc/{process.pid}/cwd") else set()
        return found

    assert eventually(lambda: len(waiting()) == 1)
    (first,) = waiting()
    assert run(children, "about")["pid"] == first
    assert eventually(lambda: len(waiting()) == 1 and waiting() != {first})
    (second,) = waiting()
    os.kill(second, signal.SIGKILL)
    assert eventually(lambda: len(waiting()) == 1 and waiting() != {second})
    assert run(children, "echo", 1) == 1


def test_errors_of_three_kinds(children: Children) -> None:
    with pytest.raises(UserError, match="Send another"):
        run(children, "raises", "user")
    with pytest.raises(MemoryError):
        run(children, "raises", "memory")
    with pytest.raises(Broke, match="secret detail") as broke:
        run(children, "raises", "bug")
    assert "isolated_tasks.py" in broke.value.trace
    with pytest.raises(Broke, match="nobody"):
        run(children, "nobody")


def test_a_session_answers_until_it_is_let_go(children: Children) -> None:
    with children.begin("answers", 10, Limits(), HOME) as child:
        for asked, total in ((1, 11), (5, 16)):
            child.ask(asked)
            assert next(child.messages()) == (Kind.EVENT, total)
        child.ask("die")
        assert list(child.messages()) == []
        assert child.end.how is How.CRASHED
        with pytest.raises(Died):
            child.ask(1)


# -- what it may not do to others --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "how", "words"),
    [
        ("segfault", How.CRASHED, "memory that is not there .SIGSEGV"),
        ("abort", How.CRASHED, "SIGABRT"),
        ("exit", How.CRASHED, "code 0 and said nothing"),
        ("code", How.CRASHED, "code 70"),
        ("killed", How.MEMORY, "the system ended it"),
    ],
)
def test_a_child_that_dies_is_told_apart(children: Children, given: str, how: How, words: str) -> None:
    died = ended(children, "dies", given)
    assert died.end.how is how and died.end.killed
    assert re.search(words, died.end.reason)
    assert run(children, "echo", 1) == 1, "the next one lives"


@pytest.mark.parametrize("given", ["python", "torch"])
def test_memory_is_refused_where_it_is_asked_for(children: Children, given: str) -> None:
    began = time.monotonic()
    with pytest.raises(MemoryError):
        run(children, "eats", given, memory=128 << 20, wall_s=PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2


def test_memory_that_the_system_does_not_count_ends_the_child(children: Children) -> None:
    died = ended(children, "eats", "shared", memory=128 << 20, wall_s=PATIENCE)
    assert died.end.how is How.MEMORY and "128 MiB" in died.end.reason


def test_files_have_their_limit_one_by_one_and_together(children: Children) -> None:
    with pytest.raises(Broke, match="File too large"):
        run(children, "eats", "file", disk=4 << 20, wall_s=PATIENCE)
    died = ended(children, "eats", "files", disk=4 << 20, wall_s=PATIENCE)
    assert died.end.how is How.DISK and "4 MiB" in died.end.reason


@pytest.mark.parametrize("given", ["spin", "sleep", "lock"])
def test_time_is_limited_whatever_it_does_with_it(children: Children, given: str) -> None:
    began = time.monotonic()
    died = ended(children, "lasts", given, wall_s=0.5)
    assert died.end.how is How.TIME and "0.5 seconds" in died.end.reason
    assert time.monotonic() - began < 5


def test_processor_time_is_limited_apart(children: Children) -> None:
    died = ended(children, "lasts", "spin", processor_s=1, wall_s=PATIENCE)
    assert died.end.how is How.TIME and "processor" in died.end.reason


@pytest.mark.parametrize("given", ["garbage", "endless", "deep", "number", "nan", "kind", "pickle"])
def test_nothing_is_believed_that_is_no_message(children: Children, given: str) -> None:
    died = ended(children, "babbles", given, wall_s=PATIENCE)
    assert died.end.how is How.NONSENSE


def test_a_sentence_that_is_none_is_not_shown(children: Children) -> None:
    with pytest.raises(UserError, match="It said no more"):
        run(children, "babbles", "refused")


def test_a_child_that_closes_its_side_is_not_waited_for(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.isolation.child.GRACE", 0.5)
    assert ended(children, "babbles", "closes").end.how is How.GONE


# -- what it may not touch ---------------------------------------------------------------------------------------------

needs_kernel = pytest.mark.skipif(
    not landlock.version() or sys.platform != "linux" or os.uname().machine not in syscalls.KNOWN,
    reason="this kernel cannot hold a process by itself; what Python does instead is tested below",
)
REFUSED = {"PermissionError", "OSError"}


@needs_kernel
@pytest.mark.parametrize(
    "what", ["socket", "udp", "native socket", "fork", "native fork", "run", "exec", "raise limit"]
)
def test_no_network_and_no_other_process(children: Children, what: str) -> None:
    assert run(children, "tries", [what], memory=1 << 30) in {*REFUSED, "ValueError"}


@needs_kernel
def test_no_connection_even_to_this_machine(children: Children) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert run(children, "tries", ["connect", port]) in REFUSED
        assert run(children, "tries", ["connect", port], confined=False) == "", "it is the limits that refuse"


@needs_kernel
@pytest.mark.parametrize("what", ["write", "append", "remove", "rename", "native write", "read"])
def test_files_of_others_are_out_of_reach(children: Children, what: str, tmp_path: Path) -> None:
    target = tmp_path / "of somebody else"
    target.write_text("precious")
    assert run(children, "tries", [what, str(target)]) in REFUSED
    assert run(children, "tries", ["write", str(tmp_path / "new")]) in REFUSED and not (tmp_path / "new").exists()
    assert target.read_text() == "precious"
    assert run(children, "tries", ["read", str(target)], readable=(str(target),)) == ""
    assert run(children, "tries", ["list", str(tmp_path)], named=(str(tmp_path),)) in REFUSED
    assert run(children, "tries", ["read", str(target)], named=(str(tmp_path),)) == ""
    assert run(children, "tries", ["append", str(target)], readable=(str(target),)) in REFUSED
    assert run(children, "tries", ["append", str(target)], writable=(str(tmp_path),)) == ""


@needs_kernel
def test_the_server_is_out_of_reach(children: Children) -> None:
    me = os.getpid()
    assert run(children, "tries", ["read", f"/proc/{me}/environ"]) in REFUSED
    assert run(children, "tries", ["read", "/proc/self/environ"]) == "", "it knows that it is the place that is refused"
    assert run(children, "tries", ["kill", str(me)]) in REFUSED
    assert run(children, "tries", ["read", str(ROOT / "pyproject.toml")]) in REFUSED, "secrets may lie beside the code"


@needs_kernel
@pytest.mark.parametrize("what", ["own", "thread"])
def test_what_it_needs_it_may(children: Children, what: str) -> None:
    assert run(children, "tries", [what]) == ""


def test_where_the_kernel_cannot_python_watches(children: Children, tmp_path: Path) -> None:
    def tried(*given: str) -> tuple[list[str], str]:
        held, error = run(children, "watched", list(given), confined=False)
        return held, error

    held, error = tried("socket")
    assert held == ["network and processes: Python alone", "files: Python alone"] and error == "PermissionError"
    for what in ("connect", "fork", "run", "exec"):
        assert tried(what, "9")[1] == "PermissionError"
    (tmp_path / "file").write_text("precious")
    for what in ("write", "append", "remove", "rename"):
        assert tried(what, str(tmp_path / "file"))[1] == "PermissionError"
    assert (tmp_path / "file").read_text() == "precious"
    assert tried("own")[1] == "" and tried("thread")[1] == ""


# -- what it may not leave behind --------------------------------------------------------------------------------------


def test_whoever_asks_for_an_end_gets_an_orderly_one(children: Children) -> None:
    wanted = threading.Event()
    heard = []
    with children.begin("lasts", "polite", Limits(), HOME) as child:
        for _, value in child.messages(wanted.is_set):
            heard.append(value)
            wanted.set()
        assert heard[-2:] == ["closed in good order", None] and child.end.how is How.ITSELF
        assert (child.folder / "closed").exists()


def test_whoever_does_not_listen_is_ended_after_a_grace(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.isolation.child.GRACE", 0.3)
    began = time.monotonic()
    with children.begin("lasts", "deaf", Limits(), HOME) as child:
        assert list(child.messages(lambda: True)) == []
        assert child.end.how is How.STOPPED and not child.end.killed
    assert time.monotonic() - began < 5


def test_what_a_child_started_ends_with_it(children: Children, tmp_path: Path) -> None:
    run(children, "litters", str(tmp_path), confined=False)
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2 and all(eventually(lambda pid=pid: gone(pid)) for pid in pids)


def test_a_hundred_children_leave_nothing(children: Children) -> None:
    process = children._process
    assert process is not None

    def state() -> tuple[int, int, int, int, int]:
        return (
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(os.listdir(f"/proc/{process.pid}/fd")),
            len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()),
            len(list(HOME.iterdir())),
        )

    # one waits for the next order, and nothing is left of the tests before
    assert eventually(lambda: state()[3] == 1 and state()[4] == 0)
    before = state()
    for number in range(100):
        with contextlib.suppress(Died, UserError):
            task, given = (("echo", 1), ("dies", "abort"), ("raises", "user"), ("lasts", "sleep"))[number % 4]
            with children.begin(task, given, Limits(), HOME) as child:
                if task != "lasts":
                    child.result()
    assert eventually(lambda: state() == before), (before, state())


SERVER = """
import sys, os, time
sys.path.insert(0, {root!r})
from pathlib import Path
from pruning_core.isolation.children import Children
from pruning_core.isolation.limits import Limits
made, home = Children({tasks!r}), Path({home!r})
held = [made.begin("lasts", "sleep", Limits(confined=confined), home) for confined in (True, False)]
with made.begin("echo", None, Limits(), home) as child:
    child.result()
print(made._process.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_that_is_killed_leaves_no_orphan_and_no_file(tmp_path: Path) -> None:
    code = SERVER.format(root=str(ROOT), tasks=TASKS, home=str(tmp_path))
    server = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        fork_server = int(server.stdout.readline())
        listed = Path(f"/proc/{fork_server}/task/{fork_server}/children")
        assert eventually(lambda: len(listed.read_text().split()) == 3), "two, and one that waits for an order"
        children = [int(pid) for pid in listed.read_text().split()]
        os.kill(server.pid, signal.SIGKILL)
        server.wait(PATIENCE)
        assert all(eventually(lambda pid=pid: gone(pid)) for pid in (fork_server, *children))
    finally:
        server.kill()
        server.communicate()
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


def test_folders_that_nobody_holds_are_removed(children: Children, tmp_path: Path) -> None:
    """Of a server that was killed together with its fork server."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    with children.begin("lasts", "sleep", Limits(), tmp_path) as child:
        assert list(tmp_path.iterdir()) == [child.folder]
        other = Children(TASKS)
        with other.begin("lasts", "sleep", Limits(), tmp_path):
            assert child.folder.exists() and len(list(tmp_path.iterdir())) == 2
        other.close()
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


def test_children_die_with_their_fork_server_and_another_one_takes_its_place(children: Children) -> None:
    with children.begin("lasts", "sleep", Limits(), HOME) as child:
        assert children._process is not None
        first = children._process.pid
        listed = Path(f"/proc/{first}/task/{first}/children")
        assert eventually(lambda: len(listed.read_text().split()) == 2), "one waits for an order"
        pids = [int(pid) for pid in listed.read_text().split()]
        os.kill(first, signal.SIGKILL)
        with pytest.raises(Died) as died:
            child.result()
        assert died.value.end.how is How.GONE and eventually(lambda: all(map(gone, pids)))
    assert run(children, "echo", 7) == 7
    assert children._process.pid != first
