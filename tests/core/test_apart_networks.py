"""A captured network as plain data: the same groups, sizes and costs come back, and nothing else is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pruning_core.apart.networks import network_packed, network_unpacked
from pruning_core.graph import Network, Plan, capture
from pruning_core.storage.plain import Forged
from pruning_core.zoo import Demo, available_demos, load_model


def captured(demo: Demo) -> Network:
    loaded = load_model(demo.ref)
    return capture(loaded.model, torch.zeros(1, *loaded.input_size))


@pytest.mark.parametrize("demo", available_demos(), ids=lambda demo: demo.name)
def test_every_plan_costs_the_same(demo: Demo) -> None:
    network = captured(demo)
    back = network_unpacked(*network_packed(network))
    plan = Plan({group.key: (0,) for group in network.groups})
    assert [group.key for group in back.groups] == [group.key for group in network.groups]
    assert back.blocked == network.blocked and back.layout.trail == network.layout.trail
    for each in (Plan(), plan):
        assert back.cost(each) == network.cost(each) and back.layer_costs(each) == network.layer_costs(each)
        assert np.array_equal(back.keep(each), network.keep(each))


def test_units_and_members_that_are_not_there_are_refused() -> None:
    value, arrays = network_packed(captured(available_demos()[0]))
    assert network_unpacked(value, arrays).groups
    with pytest.raises(Forged):
        network_unpacked(value, {name: array + (1 << 40) for name, array in arrays.items()})
    with pytest.raises(Forged):
        network_unpacked(value, {name: array.astype(np.int32) for name, array in arrays.items()})
    value["groups"][0]["members"][0]["dim"] = 7
    with pytest.raises(Forged):
        network_unpacked(value, arrays)
