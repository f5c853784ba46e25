"""Every method on networks that are unlike each other: it says at once why it cannot run, or it runs to its end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.masking import reinitialised
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Phase, Train
from pruning_core.methods.refusal import why_not
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import Setup, State
from pruning_core.training.config import FineTune
from pruning_core.work import finished
from pruning_core.zoo import import_model
from tests.core.small_programs import Parts
from tests.core.upload_files import exported

pytestmark = pytest.mark.usefixtures("one_thread")
PICTURE = torch.zeros(1, 1, 8, 8)


class Looking(nn.Module):
    """A transformer of one layer on four patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(self.layers(self.patches(x).flatten(2).transpose(1, 2)).mean(1))
        return made


def without_norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4),
        nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "program": vgg, "without norms": without_norms, "transformer": Looking, "vgg": vgg,
}  # fmt: skip
NO_MODULES, NO_DRAWING, NO_BLOCKS = "are operators of a recorded program", "New weights cannot", "takes whole residual"
NO_SCALES, NO_NORM, NO_KERNELS = "reads the scales of batch norms", "and the batch norm behind it", "3 × 3 kernels"
READ_SCALES = dict.fromkeys(("netslim", "ista-bn", "gbn", "chex", "reprune-trained", "scp"), NO_SCALES)
REFUSED: dict[str, dict[str, str]] = {
    "program": {
        **dict.fromkeys(("snip-elements", "grasp-elements", "synflow-elements", "scratch-e", "scratch-b"), NO_DRAWING),
        **dict.fromkeys(("tmi-gkp", "layerprune", "dbp", "fbs", "cgate"), NO_MODULES),
        "dcp-losses": "the layers of this one are not modules",
    },
    "without norms": {**READ_SCALES, "layerprune": NO_BLOCKS, "dbp": NO_BLOCKS, "fbs": NO_NORM},
    "transformer": {
        **READ_SCALES, "layerprune": NO_BLOCKS, "dbp": NO_BLOCKS, "fbs": NO_NORM, "pconv": NO_KERNELS,
        "patdnn": NO_KERNELS, "dkp": "leaves alone", "tmi-gkp": "makes plain convolutions grouped",
        "cgate": "in 4 equal parts", "fpgm-soft": "cannot rank layers.layers.0.self_attn",
    },
    "vgg": {"layerprune": NO_BLOCKS, "dbp": NO_BLOCKS},
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    made = {name: build().eval() for name, build in BUILDS.items()}
    file = exported(made["program"], torch.zeros(2, 1, 8, 8))
    folder: Path = tmp_path_factory.mktemp("programs")
    return made | {"program": import_model(file, "network.pt2", folder).model}


def one_step_each(phases: tuple[Phase, ...]) -> FineTune:
    trainings = sum(isinstance(phase, Train) for phase in phases)
    return FineTune(epochs=max(1, trainings), batch_size=32, lr=0.01, device="cpu")


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.card.key)
@pytest.mark.parametrize("name", BUILDS)
def test_it_says_at_once_why_not_or_it_ends(
    name: str, method: type[Method], networks: dict[str, nn.Module], digits: Parts
) -> None:
    model, made = networks[name], method()
    network = capture(model, PICTURE)
    goal = Goal(network, Budget("macs", fraction=0.6))
    expected = REFUSED[name].get(method.card.key)
    if expected is not None:
        assert expected in why_not(made, goal, FineTune(epochs=9), model)
        return
    phases = tuple(made.phases(goal))
    config = one_step_each(phases)
    assert why_not(made, goal, config, model) == ""
    fit, held_out, test = (part.subset(count) for part, count in zip(digits, (32, 16, 8)))
    before = copy.deepcopy(model.state_dict())
    end = finished(perform(phases, State.of(model, network), Setup(fit, fit, held_out, test, config, device="cpu")))
    assert end.model is not model and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert end.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.card.key)
def test_a_budget_that_nothing_reaches_is_refused_by_all_that_keep_to_one(
    method: type[Method], networks: dict[str, nn.Module]
) -> None:
    """Before they have trained for nothing."""
    model = networks["vgg"]
    network = capture(model, PICTURE)
    goal = Goal(network, Budget("parameters", amount=1.0))
    said = why_not(method(), goal, FineTune(epochs=40), model)
    assert bool(said) == (method.budgeted or method.card.key in REFUSED["vgg"])
    if method.outcome is Outcome.SPARSE and method.budgeted:
        assert "what no zero can save" in said


def test_pruned_attention_draws_new_weights_as_pytorchs_does(networks: dict[str, nn.Module], digits: Parts) -> None:
    model = networks["transformer"]
    network = capture(model, PICTURE)
    (heads,) = (group.key for group in network.groups if "attn" in group.key)
    small = remove(model, network, Plan({heads: (0,)})).model
    drawn = [reinitialised(each, 0).layers.layers[0].self_attn for each in (model, small)]
    assert drawn[1].in_proj_weight.shape == (12, 8) and not drawn[1].in_proj_bias.any()
    for each in drawn:
        rows, columns = each.in_proj_weight.shape
        bound = (6 / (rows + columns)) ** 0.5
        assert 0.8 * bound < each.in_proj_weight.abs().max() <= bound
    with pytest.raises(UserError, match="New weights cannot be drawn"):
        reinitialised(networks["program"], 0)
