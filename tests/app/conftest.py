"""What the tests of the pages share."""

import sys

import pytest

from pruning_core.apart import household


@pytest.fixture(autouse=True)
def runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything stays where the test can reach into it; those that are about children put them back."""
    monkeypatch.setattr(household, "children", lambda: None)


@pytest.fixture(autouse=True)
def main_stays_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts the script under test in the place of ``__main__``, which every child process would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
