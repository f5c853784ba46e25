"""torchvision's classifiers: every exact group loses a random half, and nothing else changes."""

import numpy as np
import pytest
import torch

from pruning_core.graph import capture, remove
from pruning_core.zoo.architectures import architecture
from tests.core.graph_checks import random_plan, randomise
from tests.core.graph_zoo import DEMOS, QUICK, SINGLE, SMALL, TORCHVISION, build, examine, heads, smallest_side

PROGRAMS = ("shufflenet", "swin", "maxvit")  # their code has sizes written into it
# attention layers
HEADS = {
    "vit_b_32": 12,
    "swin_t": 12,
    "swin_v2_t": 12,
    "maxvit_t": 22,
    "small_vit": 2,
    "small_swin": 4,
    "small_swin_v2": 4,
    "small_maxvit": 4,
}
# streams that a LayerNorm reads
APPROXIMATE = {
    "convnext_tiny": 4,
    "vit_b_32": 1,
    "swin_t": 4,
    "swin_v2_t": 4,
    "maxvit_t": 4,
    "small_convnext": 2,
    "small_vit": 1,
    "small_swin": 2,
    "small_swin_v2": 2,
    "small_maxvit": 2,
}

EVERY = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TORCHVISION] + [*SMALL]


@pytest.mark.parametrize("name", EVERY)
def test_half_of_every_group_leaves(name: str) -> None:
    row = examine(name, build(name, smallest_side(name)), smallest_side(name), single=name in SINGLE)
    assert not row.refused
    assert row.form == ("program" if name.removeprefix("small_").startswith(PROGRAMS) else "module")
    assert row.macs_after < row.macs and row.exact > 0
    assert row.heads == HEADS.get(name, row.heads) and row.approximate == APPROXIMATE.get(name, row.approximate)


@pytest.mark.parametrize("name", DEMOS)
def test_half_of_every_group_leaves_a_demo_network(name: str) -> None:
    channels, side, _ = architecture(name).input_size
    row = examine(name, build(name, side), side, channels=channels)
    assert not row.refused and row.macs_after < row.macs and row.approximate == 0
    assert row.form == ("program" if name.endswith("_pad") else "module"), "padding by a number of channels is code"


@pytest.mark.parametrize("name", ["small_vit", "small_swin", "small_convnext"])
def test_groups_through_layer_norm_leave_when_asked(name: str) -> None:
    """They are labelled approximate, with the reason; the smaller network runs and has the sizes of the plan."""
    model = randomise(build(name, 32)).eval()
    x = torch.randn(1, 3, 32, 32)
    network = capture(model, x)
    keys = [g.key for g in network.groups if not g.exact]
    assert keys and all("normalisation" in network.group(k).reason for k in keys)
    plan = random_plan(network, np.random.default_rng(0), keys=keys, share=0.3)
    done = remove(model, network, plan)
    assert not done.proof.exact and done.model(x).shape == (1, 1000)
    assert sum(p.numel() for p in done.model.parameters()) == network.cost(plan).parameters
    for key in keys:
        for member in network.group(key).members:
            left = dict([*done.model.named_parameters(), *done.model.named_buffers()])[member.parameter]
            assert left.shape[member.dim] < model.state_dict()[member.parameter].shape[member.dim]


def test_whole_heads_and_hidden_widths_are_the_units_of_a_transformer() -> None:
    network = capture(build("small_vit", 32).eval(), torch.randn(1, 3, 32, 32))
    attention = network.group("encoder.layers.encoder_layer_0.self_attention")
    assert attention.size == 4 and attention.producers[0].index.shape == (4, 3 * 16)
    hidden = network.group("encoder.layers.encoder_layer_0.mlp.0")
    assert hidden.size == 96 and hidden.exact
    assert heads(network) == 2


def test_the_list_is_complete() -> None:
    assert len(TORCHVISION) == 80 and set(QUICK) | set(SINGLE) <= set(TORCHVISION)
