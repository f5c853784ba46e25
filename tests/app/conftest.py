"""What the tests of the pages share."""

import sys
from collections.abc import Iterator
from functools import cache

import pytest
from streamlit.components.v2 import manifest_scanner

from pruning_core.apart import household


@pytest.fixture(autouse=True, scope="session")
def packages_are_read_once() -> Iterator[None]:
    """Every page under test looks through all installed packages for components, as long as the page itself takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(autouse=True)
def runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything stays where the test can reach into it; those that are about children put them back."""
    monkeypatch.setattr(household, "children", lambda: None)


@pytest.fixture(autouse=True)
def main_stays_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts the script under test in the place of ``__main__``, which every child process would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
