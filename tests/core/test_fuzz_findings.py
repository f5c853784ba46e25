"""What fuzzing has found (`python -m benchmarks.fuzz`): each was something else than a sentence once."""

from __future__ import annotations

import pytest

from pruning_core.allocation.tables import read_table
from pruning_core.errors import UserError
from tests.core.allocation_nets import residual_network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layername,0.25\na1\n", "holds no layer"),
        ('{"a1": {}}', "holds no layer"),
        ('layername,0.5\n"' + "x" * 200_000, "no table with commas"),
    ],
    ids=["a line without numbers", "a layer without numbers", "a word without end"],
)
def test_a_table_that_says_nothing(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_table(text, residual_network(), 0.9)
