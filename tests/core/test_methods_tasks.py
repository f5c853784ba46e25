"""Methods on networks that are no classifiers: the measure says the loss, and what needs classes says so before."""

from __future__ import annotations

import pytest
import torch
from task_nets import Painter, made, pictures

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import Dataset
from pruning_core.graph import capture
from pruning_core.measuring.registry import BY_KEY
from pruning_core.methods.base import Goal
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.refusal import without_classes
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import Setup, State
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch

NEED = {"dcp-losses", "autoslim-trained", "gal", "layerprune", "dbp"}
SOME = ("netslim", "snip-elements", "grasp-elements", "random-widths", "autocompress", "gbn", "cgate")
KEYS = {method.card.key: method() for method in METHODS}
CONFIG = FineTune(epochs=8, batch_size=16, device="cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def painter():
    model = made(Painter)
    return model, capture(model, torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("key", KEYS)
def test_what_needs_classes_says_so_before_it_runs(key, painter):
    phases = tuple(KEYS[key].phases(Goal(painter[1], Budget("macs", fraction=0.6))))
    said = without_classes(phases, BY_KEY["miou"])
    assert bool(said) is (key in NEED)
    assert not said or "class of each image, and these images are judged by Mean IoU. Choose another method" in said
    assert not without_classes(phases, BY_KEY["top1"]) and not without_classes(phases, BY_KEY["top5"])
    assert not without_classes(phases, BY_KEY["agreement"]), "the unpruned network's decisions are classes"


@pytest.mark.parametrize("key", SOME)
def test_a_method_trains_and_chooses_by_the_measure(key, painter):
    model, network = painter
    seen = torch.from_numpy(pictures(48)).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        labels = model(seen / 255).argmax(1).byte()

    def part(start: int, stop: int) -> Dataset:
        return Dataset(
            seen[start:stop], labels[start:stop], (), (0.0,) * 3, (1.0,) * 3, "d", measure="miou"
        )  # fmt: skip

    fit = part(0, 32)
    phases = tuple(KEYS[key].phases(Goal(network, Budget("macs", fraction=0.6))))
    setup = Setup(fit, fit, part(32, 40), part(40, 48), CONFIG, 0, "cpu")
    events = list(perform(phases, State.of(model, network), setup))
    assert {event.measure for event in events if isinstance(event, Epoch)} == {"miou"}
    *_, end = [event.state for event in events if isinstance(event, Done)]
    with torch.no_grad():
        assert end.model.eval()(seen[:2] / 255).shape == (2, 4, 16, 16)
