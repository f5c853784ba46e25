"""Scoring as a whole: its progress, its images, and what it says where it cannot judge."""

import pytest
import torch
from criteria_nets import Plain, case_of, make, values
from torch import nn

from pruning_core.criteria import (
    CRITERIA,
    ActivationMean,
    BatchNormScale,
    FeatureMapRank,
    GreedyReconstruction,
    L1Norm,
    ScoringStep,
    Snip,
    SynFlow,
    TaylorGate,
    TaylorSecond,
    ZeroFraction,
    score,
    scoring,
)
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, capture
from pruning_core.probe.shadow import shadow

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_shadow_shares_weights_and_nothing_else():
    case = make(Plain)
    copy_of = shadow(case.model.train(), gradients=True)
    assert copy_of.one.weight.data_ptr() == case.model.one.weight.data_ptr()
    assert copy_of.norm.running_mean.data_ptr() != case.model.norm.running_mean.data_ptr()
    assert not copy_of.training and case.model.training
    assert list(copy_of.state_dict()) == list(case.model.state_dict())


def test_a_network_that_keeps_a_tensor_in_the_middle_of_a_graph_is_scored():
    """PyTorch's own way of copying refuses it."""
    case = make(Plain)
    wanted = score(case.model, case.network, [L1Norm()])[L1Norm()].values
    case.model.cache = case.model.one.weight * 2
    found = score(case.model, case.network, [L1Norm()])[L1Norm()].values
    assert found and all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_scoring_tells_its_progress_and_can_be_closed():
    case = make(Plain)
    criteria = [ActivationMean(), TaylorSecond()]
    steps = list(scoring(case.model, case.network, criteria, case.data, images=20, batch_size=8))
    assert steps == [ScoringStep("probe", n, 6) for n in range(1, 7)] + [
        ScoringStep("score", n, 6) for n in range(1, 7)
    ]
    run = scoring(case.model, case.network, criteria, case.data)
    next(run)
    run.close()
    assert torch.overrides._get_current_function_mode() is None


def test_images_are_drawn_by_the_seed():
    case = make(Plain)
    first, again, other = (values(case, ActivationMean(), images=5, seed=s)["one"] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    found = score(case.model, case.network, [ActivationMean()], case.data, images=5)[ActivationMean()]
    assert found.images == 5


def test_seconds_count_what_a_criterion_needs():
    case = make(Plain)
    found = score(case.model, case.network, [c() for c in CRITERIA], case.data)
    seconds = {c.card.key: s.seconds for c, s in found.items()}
    assert seconds["l1"] < seconds["act-mean"] and seconds["taylor"] < seconds["grasp"]


def test_labels_must_fit_the_model():
    case = make(Plain)
    data = Dataset(case.data.images, torch.full((24,), 3), tuple("abcd"), (0.5,), (0.25,), "four")
    with pytest.raises(UserError, match="tells 3 classes apart"):
        score(case.model, case.network, [Snip()], data)
    assert score(case.model, case.network, [ActivationMean()], data)[ActivationMean()].values


def test_a_model_that_is_no_classifier_is_told_to_the_person():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1)).eval()
    network = capture(model, torch.zeros(1, 1, 6, 6))
    with pytest.raises(UserError, match="judged by their classes"):
        score(model, network, [TaylorGate()], make(Plain).data)


def test_overflow_is_a_reason_not_a_score():
    case = make(Plain)
    with torch.no_grad():
        case.model.one.weight[0] = float("inf")
    found = score(case.model, case.network, [L1Norm()])[L1Norm()]
    assert "not finite" in found.missing["one"] and "two" in found.values


def test_an_empty_network_has_no_scores():
    model = nn.Linear(3, 2)
    network: Network = capture(model, torch.zeros(1, 3))
    assert score(model, network, [L1Norm()])[L1Norm()].values == {}


def test_what_is_never_read_is_a_reason_not_a_zero():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)
            self.spare, self.side = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            x = self.one(x).relu().mean((2, 3))
            out = self.head(x)
            return out + self.side(self.spare(x)) if self.training else out

    case = case_of(Auxiliary().eval())
    for criterion in (ActivationMean(), GreedyReconstruction(), TaylorGate(), TaylorSecond(), Snip(), SynFlow()):
        found = score(case.model, case.network, [criterion], case.data)[criterion]
        assert "training only" in found.missing["spare"] and "one" in found.values
    assert {"one", "spare"} <= set(values(case, L1Norm()))


def test_a_criterion_that_rates_all_alike_says_so():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    case = case_of(model.eval())
    for criterion in (BatchNormScale(), FeatureMapRank()):  # all scales are 1, all maps of one pixel are not zero
        assert "rated alike" in score(model, case.network, [criterion], case.data)[criterion].missing["0"]
    assert "ever zero" in score(model, case.network, [ZeroFraction()], case.data)[ZeroFraction()].missing["0"]
    assert values(case, ZeroFraction(threshold=0.05))["0"].shape == (4,)
