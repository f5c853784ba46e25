"""Refitting the layers that read what is left."""

import copy

import pytest
import torch
import torch.nn.functional as F
from criteria_nets import Case, Grouped, Plain, Residual, make
from torch import Tensor, nn

from pruning_core.criteria import ChannelSurgeon, GreedyReconstruction, LassoReconstruction, Reconstructing
from pruning_core.criteria.engine import ScoringStep
from pruning_core.criteria.rebuild import rebuild, rebuilding
from pruning_core.errors import UserError
from pruning_core.graph import Plan, silence

pytestmark = pytest.mark.usefixtures("one_thread")
REBUILDERS = (GreedyReconstruction(), LassoReconstruction(), ChannelSurgeon())
each = pytest.mark.parametrize("criterion", REBUILDERS, ids=["thinet", "lasso", "surgeon"])


def pictures(case: Case) -> Tensor:
    return next(case.data.batches(len(case.data), dtype=torch.float64))[0]


def with_copies(case: Case) -> Case:
    """Channels 3, 4 and 5 of the first layer answer exactly as 0, 1 and 2."""
    with torch.no_grad():
        for tensor in (case.model.one.weight, *case.model.norm.state_dict().values()):
            if tensor.ndim:
                tensor[3:] = tensor[:3]
    return case


@each
def test_copies_can_be_removed_without_a_trace(criterion: Reconstructing):
    case = with_copies(make(Plain))
    plan = Plan({"one": [3, 4, 5]})
    rebuilt = rebuild(case.model, case.network, plan, criterion, case.data)
    x = pictures(case)
    lost = (silence(case.model, case.network, plan)(x) - case.model(x)).abs().max()
    left = (silence(rebuilt, case.network, plan)(x) - case.model(x)).abs().max()
    # least squares puts the weight of a copy onto its twin; ThiNet has only one factor per channel
    assert left < (0.9 if isinstance(criterion, GreedyReconstruction) else 1e-4) * lost
    assert torch.allclose(rebuilt(x), silence(rebuilt, case.network, plan)(x))  # nothing more to silence


@each
@pytest.mark.parametrize("kind", [Plain, Residual, Grouped])
def test_the_refitted_layers_write_more_nearly_what_they_wrote(criterion: Reconstructing, kind: type[nn.Module]):
    case = make(kind, images=60)
    plan = Plan({g.key: range(g.size // 2) for g in case.network.groups})
    rebuilt = rebuild(case.model, case.network, plan, criterion, case.data, images=60)
    x = pictures(case)
    before = F.mse_loss(silence(case.model, case.network, plan)(x), case.model(x))
    after = F.mse_loss(rebuilt(x), case.model(x))
    assert after < before
    assert torch.allclose(silence(rebuilt, case.network, plan)(x), rebuilt(x))


@each
def test_only_the_readers_of_the_plan_change(criterion: Reconstructing):
    case = make(Plain)
    case.model.train()
    was = copy.deepcopy(case.model.state_dict())
    rebuilt = rebuild(case.model, case.network, Plan({"two": [1, 4]}), criterion, case.data)
    assert all(torch.equal(v, was[k]) for k, v in case.model.state_dict().items())
    assert case.model.training and rebuilt.training
    changed = {k for k, v in rebuilt.state_dict().items() if not torch.equal(v, was[k])}
    assert changed == {"three.weight"}
    columns = rebuilt.three.weight.detach().unflatten(1, (5, 9))
    assert not columns[:, [1, 4]].any() and columns[:, [0, 2, 3]].all()
    assert all(p.requires_grad for p in rebuilt.parameters())


def test_layers_are_fitted_to_the_original_reading_the_pruned_network():
    case = make(Plain, images=60)
    plan = Plan({"one": [0, 1], "two": [0]})
    rebuilt = rebuild(case.model, case.network, plan, LassoReconstruction(), case.data, images=60)
    x = pictures(case)
    with torch.no_grad():
        hidden = rebuilt.two(rebuilt.norm(rebuilt.one(x)).relu()).relu().flatten(1)[:, 9:]  # as it is now
        wanted = case.model.three(
            case.model.two(case.model.norm(case.model.one(x)).relu()).relu().flatten(1)
        )  # as it was
        best = torch.linalg.lstsq(hidden, wanted - case.model.three.bias).solution
        error = F.mse_loss(hidden @ rebuilt.three.weight[:, 9:].T, wanted - case.model.three.bias)
    assert error <= F.mse_loss(hidden @ best, wanted - case.model.three.bias) * 1.05 + 1e-9


def test_rebuilding_tells_its_progress_and_checks_the_plan():
    case = make(Plain)
    plan = Plan({"one": [0], "three": [1]})
    steps = list(rebuilding(case.model, case.network, plan, GreedyReconstruction(), case.data, images=8))
    assert steps == [ScoringStep("rebuild", 1, 2), ScoringStep("rebuild", 2, 2)]
    with pytest.raises(UserError, match="keep at least one"):
        rebuild(case.model, case.network, Plan({"one": range(6)}), GreedyReconstruction(), case.data)
    untouched = rebuild(case.model, case.network, Plan(), LassoReconstruction(), case.data)
    assert all(torch.equal(v, case.model.state_dict()[k]) for k, v in untouched.state_dict().items())
