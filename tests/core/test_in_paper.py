"""What papers set stands beside every knob that is scaled down here, declared at its class."""

from __future__ import annotations

import pytest

from pruning_core.knobs import knobs_of
from pruning_core.methods.base import Method
from pruning_core.methods.in_paper import OURS, UNREAD, InPaper
from pruning_core.methods.registry import METHODS
from pruning_core.training.config import FineTune


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.card.key)
def test_every_knob_of_a_method_stands_beside_what_its_paper_sets(method: type[Method]) -> None:
    declared = [each.knob for each in method.in_paper]
    own, training = ({knob.name for knob in knobs_of(cls)} for cls in (method, FineTune))
    assert len(set(declared)) == len(declared)
    assert own <= set(declared), "a knob without what the paper sets"
    assert set(declared) <= own | training, "nothing here has this name"
    assert not own & training, "a name must say which of the two is meant"
    assert "epochs" in declared, "all are trained for fewer epochs here"
    if method.scaled_down and method.card.paper:
        assert all(each.value for each in method.in_paper)
        assert any(each.value != OURS for each in method.in_paper)


def test_what_is_recalled_is_said_to_be() -> None:
    assert InPaper("lr", "0.1").text == "0.1"
    assert InPaper("lr", "0.1", False).text == "0.1 (recalled)"
    assert InPaper("lr", OURS, False).text == OURS and InPaper("lr", UNREAD, False).text == UNREAD
