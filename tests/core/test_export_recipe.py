"""A recipe repeats the plan, from JSON and from YAML, and nothing in it can run."""

from __future__ import annotations

import json

import pytest
import torch

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.errors import UserError
from pruning_core.export.document import Base, How, plan_document
from pruning_core.export.recipe import how_of, read_recipe, recipe_of, to_yaml
from pruning_core.graph import capture, remove
from tests.core.allocation_nets import Residual, random_scores
from tests.core.export_nets import Attention

HOW = How(
    allocation=GlobalThreshold(normalise="L2", penalty=0.25), limits=Limits(multiple=4, protected=("b1",)),
    budgets=(Budget("macs", 0.6), Budget("bytes", 0.9)), images=128, seed=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    model = Residual().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    scores = random_scores(network)
    plan = allocate(HOW.allocation, Pool.of(network, scores, HOW.limits), *HOW.budgets).plan
    removal = remove(model, network, plan)
    document = plan_document(Base("a network", "", "Residual()", model.state_dict()), network, plan, removal, how=HOW)
    return model, network, scores, plan, removal, recipe_of(document)


@pytest.mark.parametrize("write", [json.dumps, to_yaml])
def test_a_recipe_repeats_the_plan_and_the_way_to_it(made, write):
    model, network, scores, plan, removal, content = made
    recipe = read_recipe(write(content))
    assert recipe.content == json.loads(json.dumps(content))
    assert recipe.plan == plan
    assert recipe.how() == HOW
    assert recipe.allocate(network, scores).plan == plan
    again, cut = recipe.apply(model)
    assert again.cost(plan).macs == content["cost"]["after"]["macs"]
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(cut.model(x), removal.model(x))


def test_yaml_is_short_and_readable(made):
    text = to_yaml(made[-1])
    assert text.startswith("format: prunescope.recipe\n")
    assert "allocation: {$: GlobalThreshold" in text
    assert len(text.splitlines()) < 40


def test_a_recipe_fits_its_own_network_only(made):
    recipe = read_recipe(json.dumps(made[-1]))
    with pytest.raises(UserError, match="no group named"):
        recipe.apply(Attention())


def test_a_plan_by_hand_has_no_way_to_repeat(made):
    recipe = read_recipe(json.dumps({**made[-1], "how": {"$": "How"}}))
    with pytest.raises(UserError, match="picked by hand"):
        recipe.allocate(made[1], made[2])


@pytest.mark.parametrize(
    "how", [{"$": "Unheard"}, {"$": "How", "limits": {"$": "Limits", "multiple": 3}}, None, "text"]
)
def test_a_recipe_of_another_version_is_a_sentence(made, how):
    recipe = read_recipe(json.dumps({**made[-1], "how": how}))
    with pytest.raises(UserError, match=r"cannot be repeated|does not say"):
        recipe.how()


BOMB = "format: &a [x, x]\nplan: [*a, *a]\n"


@pytest.mark.parametrize(
    "text", ["", "just text", "{broken", "a: [", "!!python/object/apply:os.system ['echo owned']", BOMB, "[" * 5_000]
)
def test_what_is_no_recipe_is_a_sentence(text):
    with pytest.raises(UserError):
        read_recipe(text)


def test_a_file_of_when_there_was_one_budget_at_most_is_read_with_it() -> None:
    content = {"how": {"$": "How", "budget": {"$": "Budget", "kind": "macs", "fraction": 0.25, "amount": None}}}
    assert how_of(content).budgets == (Budget("macs", 0.25),)
