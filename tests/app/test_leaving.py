"""A closed tab: what the session held goes, and nobody has to come for that; who is still there keeps everything."""

import time
from contextlib import ExitStack

from benchmarks.load import server
from tools.visitor import Visitor

SOON_S = 90.0  # seconds of a busy machine; a quiet one takes two


def gone(folder):
    deadline = time.monotonic() + SOON_S
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    return not folder.exists()


def test_a_session_ends_soon_after_its_tab_and_takes_along_what_it_held(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with server(tmp_path, "--server.disconnectedSessionTTL=1", app="tests/app/served_and_left.py") as (address, _):
        with ExitStack() as leaves, Visitor(address) as stays:
            comes = leaves.enter_context(Visitor(address))
            comes.open()
            (first,) = data.iterdir()
            stays.open()
            (second,) = set(data.iterdir()) - {first}
            leaves.close()
            assert gone(first), "nobody else has come or gone"
            assert second.exists()
        assert gone(second), "nobody is left"
