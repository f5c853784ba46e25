"""Applying a plan: what is handed over is what was measured, with the old batch-norm statistics and with new ones."""

import pytest
import torch

from pruning_core.datasets import DIGITS, load_splits
from pruning_core.graph import Plan, capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.storage.codec import dump
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import ModelRef, load_model


def applied(ref, workspace):
    loaded = load_model(ref, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({group.key: range(group.size // 2) for group in network.groups})
    *_, last = PruneRun(ref, DIGITS, plan.to_json()).run(workspace)
    assert isinstance(last, Pruned) and PRODUCT.event(dump(last)) == last
    return last


def test_new_statistics_are_measured_and_handed_over_beside_the_old_ones(workspace, one_thread):
    found = applied(ModelRef("demo", "digits_resnet", weights="demo"), workspace)
    renewed = found.recovered
    assert renewed.images == 512 and renewed.drop.images == found.drop.images == 450
    small, fresh = (load_model(each.model, workspace).model for each in (found, renewed))
    _, test = load_splits(DIGITS, workspace)
    assert evaluate(small, test).top1 == pytest.approx(found.after.accuracy.top1)
    assert evaluate(fresh, test).top1 == pytest.approx(renewed.accuracy.top1)
    assert renewed.accuracy.top1 > found.after.accuracy.top1
    for name, weight in small.named_parameters():
        assert torch.equal(weight, fresh.get_parameter(name)), "no weight changes"
    changed = [name for name, value in small.named_buffers() if not torch.equal(value, fresh.get_buffer(name))]
    assert any("running_mean" in name for name in changed) and any("running_var" in name for name in changed)


def test_a_network_without_batch_norm_has_nothing_to_renew(workspace, one_thread):
    small = ModelRef("torchvision", "squeezenet1_1", weights="random", num_classes=10, input_size=(3, 32, 32))
    assert applied(small, workspace).recovered is None
