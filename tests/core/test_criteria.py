"""What every criterion owes: these tests run on each entry of CRITERIA, and on nothing else."""

import copy
import re

import numpy as np
import pytest
import torch
from criteria_nets import Case, Grouped, Plain, Residual, make
from torch import nn

from pruning_core.allocation.global_threshold import NORMALISE
from pruning_core.criteria import CRITERIA, LassoReconstruction, Need, Random, Reconstructing, Scores, score
from pruning_core.errors import UserError
from pruning_core.knobs import knobs_of
from pruning_core.taxonomy import Data

pytestmark = pytest.mark.usefixtures("one_thread")
each = pytest.mark.parametrize("criterion", [c() for c in CRITERIA], ids=[c.card.key for c in CRITERIA])


@pytest.fixture(scope="module")
def plain() -> Case:
    return make(Plain)


@pytest.fixture(scope="module")
def residual() -> Case:
    return make(Residual)


def run(case: Case, criterion, **options) -> Scores:
    return score(case.model, case.network, [criterion], case.data, batch_size=8, **options)[criterion]


@each
def test_scores_have_the_shape_of_their_groups_and_are_finite(criterion, plain, residual):
    for case in (plain, residual, make(Grouped)):
        found = run(case, criterion)
        assert set(found.values) | set(found.missing) == {g.key for g in case.network.groups}
        assert not set(found.values) & set(found.missing)
        assert found.values, found.missing
        for group in case.network.groups:
            if group.key in found.values:
                values = found.values[group.key]
                assert values.shape == (group.size,) and values.dtype == torch.float64
                assert torch.isfinite(values).all()
        for sentence in found.missing.values():
            assert re.fullmatch(r"[A-Z].*\.", sentence)
        assert found.seconds > 0


@each
def test_scores_are_deterministic(criterion, residual):
    first, second = run(residual, criterion), run(residual, criterion)
    for key, values in first.values.items():
        assert torch.equal(values, second.values[key])


@each
def test_scores_move_along_when_channels_change_places(criterion, residual):
    before = run(residual, criterion)
    order = {g.key: np.random.default_rng(1).permutation(g.size) for g in residual.network.groups}
    after = run(Case(shuffled(residual, order), residual.network, residual.data), criterion)
    for key, values in before.values.items():
        if isinstance(criterion, Random):  # a lot belongs to the place, not to the filter
            assert torch.equal(after.values[key], values)
        else:
            # coordinate descent visits channels in their order, and stops at a tolerance
            close = 1e-2 if isinstance(criterion, LassoReconstruction) else 1e-6
            assert torch.allclose(after.values[key], values[order[key]], rtol=close, atol=1e-9), key


def shuffled(case: Case, order) -> nn.Module:
    """The same function with the units of every group in another order."""
    model = copy.deepcopy(case.model)
    tensors = model.state_dict()
    for group in case.network.groups:
        for member in group.members:
            tensor = tensors[member.parameter]
            moved = tensor.movedim(member.dim, 0).clone()
            moved[member.index.flatten()] = moved[member.index[order[group.key]].flatten()]
            tensors[member.parameter] = moved.movedim(0, member.dim)
    model.load_state_dict(tensors)
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    assert torch.allclose(model(x), case.model(x))
    return model


@each
def test_the_model_is_untouched(criterion):
    case = make(Residual)
    model = case.model.train()
    model.stem.weight.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    model.inner.eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    flags = [m.training for m in model.modules()]
    requires = [p.requires_grad for p in model.parameters()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    generator = torch.get_rng_state()
    run(case, criterion)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == flags
    assert [p.requires_grad for p in model.parameters()] == requires
    for p, was in zip(model.parameters(), gradients):
        assert (p.grad is None) == (was is None) and (was is None or torch.equal(p.grad, was))
    assert no_hooks(model)


def no_hooks(model: nn.Module) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


class Breaks(Exception):
    pass


@each
def test_no_hook_is_left_after_an_error(criterion, monkeypatch):
    case = make(Plain)
    calls = []

    def breaks(self, *arguments, **options):
        calls.append(arguments)
        raise Breaks

    monkeypatch.setattr(type(criterion), "score", breaks)
    with pytest.raises(Breaks):
        run(case, criterion)
    assert calls and no_hooks(case.model)
    assert torch.overrides._get_current_function_mode() is None
    assert torch.is_grad_enabled()


@each
def test_a_network_that_breaks_off_leaves_nothing_behind(criterion):
    case = make(Plain)
    if not criterion.needs_images:
        assert run(case, criterion).values
        return

    def fails(x):
        raise Breaks

    case.model.four.forward = fails
    with pytest.raises(Breaks):
        run(case, criterion)
    assert no_hooks(case.model) and torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode() is None
    assert all(p.requires_grad and p.grad is None for p in case.model.parameters())


@each
def test_data_are_asked_for_exactly_when_they_are_needed(criterion, plain):
    assert (criterion.card.data is Data.NONE) == (not criterion.needs_images)
    assert (criterion.card.data is Data.LABELLED) == criterion.needs_labels
    if criterion.needs_images:
        with pytest.raises(UserError, match="needs images"):
            score(plain.model, plain.network, [criterion])
    else:
        found = score(plain.model, plain.network, [criterion])[criterion]
        assert found.values and found.images == 0


@pytest.fixture(scope="module")
def together(residual: Case) -> dict:
    return score(residual.model, residual.network, [c() for c in CRITERIA], residual.data, batch_size=8)


@each
def test_scores_do_not_depend_on_which_criteria_run_beside(criterion, residual, together):
    for key, values in run(residual, criterion).values.items():
        assert torch.allclose(together[criterion].values[key], values, rtol=1e-9, atol=1e-12)


@each
def test_the_card_is_complete(criterion):
    card, doc = criterion.card, type(criterion).__doc__ or ""
    assert all((card.key, card.name, card.idea, card.formula, card.cost, card.fails))
    assert "$" not in card.formula
    assert "When it fails:" in doc and len(doc) > 150
    assert doc.count("$") % 2 == 0
    assert criterion.label == card.name
    for paper in (card.paper,):
        assert paper is None or (paper.title and paper.authors and 1980 < paper.year < 2030)


@each
def test_knobs_are_ranges_around_their_defaults(criterion):
    for knob in knobs_of(type(criterion)):
        assert knob.kind.label
        other = type(criterion)(**{knob.name: knob.default + type(knob.default)(1)}) if knob.kind.high > 1 else None
        assert other is None or (other != criterion and knob.name in other.label)
        with pytest.raises(ValueError, match=knob.name):
            type(criterion)(**{knob.name: type(knob.default)(knob.kind.high + 1)})


def test_the_registry_has_unique_keys_and_names():
    assert len({c.card.key for c in CRITERIA}) == len({c.card.name for c in CRITERIA}) == len(CRITERIA) == 30
    assert sum(issubclass(c, Reconstructing) for c in CRITERIA) == 3
    assert all(Need.SAMPLES in c.needs for c in CRITERIA if issubclass(c, Reconstructing))


@each
def test_it_says_how_its_scores_of_different_layers_compare(criterion):
    assert criterion.fair.by in NORMALISE
    assert criterion.fair.source in criterion.fair.sentence and len(criterion.fair.source) > 10
