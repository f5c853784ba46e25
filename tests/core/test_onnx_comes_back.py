"""What we write as ONNX we read again: the same outputs, and the same groups to cut."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning_core.export.as_brought import as_brought
from pruning_core.export.onnx_file import export_onnx
from pruning_core.graph import Network, capture, remove
from pruning_core.zoo import LoadedModel, available_demos, import_model, load_model
from tests.core.export_nets import NETS
from tests.core.graph_checks import random_plan
from tests.core.graph_zoo import SMALL
from tests.core.interface_nets import PictureAndTable, as_pt2
from tests.core.task_nets import Scales, exported
from tests.core.walk_nets import WALKS, Walk

pytestmark = pytest.mark.usefixtures("one_thread")
Made = Callable[[Path], LoadedModel]


def _walked(walk: Walk) -> Made:
    return lambda root: import_model(walk.sent(), f"network.{walk.form}", root, input_size=walk.size)


def _built(build: Callable[[], nn.Module], *size: int) -> Made:
    """As if it were somebody's own class: it is no file, so it is known by its outputs alone."""

    def make(root: Path) -> LoadedModel:
        torch.manual_seed(0)
        demo = load_model(available_demos()[0].ref)
        return replace(demo, model=build().eval(), input_size=size)

    return make


NETWORKS: dict[str, Made] = {
    **{each.name: lambda root, ref=each.ref: load_model(ref) for each in available_demos()},
    **{walk.task: _walked(walk) for walk in WALKS},
    **{name: _built(build, 3, 32, 32) for name, build in SMALL.items()},
    **{net.__name__: _built(net, 1, 8, 8) for net in NETS},
    "several inputs and outputs": lambda root: import_model(as_pt2(PictureAndTable), "net.pt2", root),
    "three scales": lambda root: import_model(exported(Scales().eval()), "net.pt2", root, input_size=(3, 16, 16)),
}


# A few seconds each, because each file is written, read and run twice; more of the same is slow.
QUICK = (("text", True), ("text_gpt", False), ("text_gpt", True), ("several inputs and outputs", True))
# Groups that are exact in the network and not in what came back: a known gap, and no other is allowed.
LOST = {("small_vit", True): [3]}


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        pytest.param(name, cut, marks=() if (name, cut) in QUICK else pytest.mark.slow)
        for name in NETWORKS
        for cut in (False, True)
    ],
)
def test_an_onnx_file_comes_back_as_the_network_that_it_was_written_from(name, cut, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's
        source = NETWORKS[name](tmp_path)
    if cut:
        network = captured(source)
        plan = random_plan(network, np.random.default_rng(len(name)), share=0.3)
        source = replace(source, model=remove(source.model, network, plan).model)
    back = import_model(io.BytesIO(export_onnx(*as_brought(source)).data), "net.onnx", tmp_path)
    assert back.interface is not None and back.input_size == source.input_size
    if source.interface is not None:
        assert [(each.shape, each.known) for each in back.interface.inputs] == [
            (each.shape, each.known) for each in source.interface.inputs
        ]
    for batch in (1, 3):
        x = torch.randn(batch, *source.input_size, generator=torch.Generator().manual_seed(batch))
        for found, wanted in zip(outputs(back.model, x), outputs(source.model, x), strict=True):
            assert found.shape == wanted.shape
            assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert sorted(exact(captured(back)) + LOST.get((name, cut), [])) == exact(captured(source))


def outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return tree_leaves(model(x))


def captured(loaded: LoadedModel) -> Network:
    return capture(loaded.model, torch.zeros(1, *loaded.input_size))


def exact(network: Network) -> list[int]:
    """How many units each group has that can be cut without any change of the rest."""
    return sorted(group.size for group in network.groups if group.exact and group.size > 1)
