"""A closed tab: its session ends, and nobody has to come for that; who is still there keeps everything."""

import time

from benchmarks.load import server
from tools.visitor import Visitor

SOON_S = 90.0


def ended(log):
    return log.read_text("utf-8", "replace").count("sessions that ended: 1")


def until(holds):
    deadline = time.monotonic() + SOON_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds()


def test_a_session_ends_soon_after_its_tab_though_nobody_follows(tmp_path):
    log = tmp_path / "log"
    options = ("--server.disconnectedSessionTTL=1", "--server.enableStaticServing=false")
    with server(tmp_path, *options, app="tests/app/served_and_left.py") as (address, _):
        with Visitor(address) as stays:
            stays.open()
            with Visitor(address) as comes:
                comes.open()
            assert until(lambda: ended(log) == 1), log.read_text()
            stays.open()
            assert "run 2" in stays.text(), "whose tab is open is where it was"
        assert until(lambda: ended(log) == 2), "nobody is left"
