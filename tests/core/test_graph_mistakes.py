"""Mistakes made on purpose: one channel of one group read in another's place, in twenty networks, group by group."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.graph import Network, Plan, capture
from pruning_core.graph.removing.agreement import Unlike
from pruning_core.graph.removing.evidence import readings
from pruning_core.graph.removing.examination import Examination
from pruning_core.graph.removing.surgery import cut
from pruning_core.zoo.architectures import architecture
from tests.core import graph_zoo, timm_zoo
from tests.core.graph_checks import random_plan

# no weight is made different from what the architecture begins with: scales of zero, dead channels and all
PLAIN = ("resnet18", "googlenet", "mobilenet_v3_small", "regnet_y_400mf", "squeezenet1_1")
SMALL = ("small_resnet50", "small_resnext50", "small_densenet", "small_mobilenet_v2", "small_convnext", "small_vit")
TIMM = (
    *("test_byobnet", "test_nfnet", "test_efficientnet_evos", "mobilenetv3_small_050", "ghostnet_050"),
    *("test_vit", "test_mambaout"),
)
DEMOS = ("digits_resnet", "digits_vgg", "cifar_resnet20")
NETWORKS = (*PLAIN, *SMALL, *TIMM, *DEMOS)
SLOW = ("googlenet",)  # half a minute


def built(name: str) -> tuple[nn.Module, Tensor]:
    channels, side = 3, 64
    if name in DEMOS:
        channels, side, _ = architecture(name).input_size
    elif name in SMALL:
        side = 32
    model = timm_zoo.build(name) if name in TIMM else graph_zoo.build(name, side)
    return model.eval(), torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(3))


@contextmanager
def misread(model: nn.Module, network: Network, plan: Plan, key: str, rng: np.random.Generator) -> Iterator[bool]:
    """One weight reads a channel of the group that stays where it should read another. Says whether one can."""
    held = dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)])
    reading = [r for group, r in readings(network, plan, held) if group == key and len(r[2]) > 1]
    if not reading:  # one channel is left
        yield False
        return
    name, dim, at = reading[rng.integers(len(reading))]
    one, other = at[torch.as_tensor(rng.choice(len(at), 2, replace=False))]
    weight, both, turned = held[name].detach(), torch.cat([one, other]), torch.cat([other, one])
    right = weight.index_select(dim, both)
    weight.index_copy_(dim, both, weight.index_select(dim, turned))
    try:
        yield not torch.equal(weight.index_select(dim, both), right)
    finally:
        weight.index_copy_(dim, both, right)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NETWORKS]
)
def test_one_channel_read_in_anothers_place_is_found_in_every_group(name: str) -> None:
    model, x = built(name)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = capture(model, x)
        plan = random_plan(network, rng, share=0.4)
        examination = Examination(model, network, plan, None)
        small = cut(model, network, plan, bold=True)
        found = examination.examine(small, whole=True)
        assert not found.blind, found.blind
        assert found.agreement.max_rel < 1e-12
        tried, missed = 0, []
        for key in plan:
            with misread(small, network, plan, key, rng) as wrong:
                if not wrong:
                    continue
                tried += 1
                try:
                    examination.examine(small, whole=True)
                    missed.append(key)
                except Unlike:
                    pass
    assert tried > 0 and not missed, f"{len(missed)} of {tried}: {missed}"
    assert len(NETWORKS) >= 20
