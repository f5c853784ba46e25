"""What the tests of the pages share."""

import pytest

from pruning_core.apart import household


@pytest.fixture(autouse=True)
def runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything stays where the test can reach into it; those that are about children put them back."""
    monkeypatch.setattr(household, "children", lambda: None)
