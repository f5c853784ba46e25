"""What two networks that are no classifiers are worth, image by image, and the pictures that differ most."""

import dataclasses

import numpy as np
import pytest
import torch

from pruning_core.datasets import import_data, load_data
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.regressing import SquaredError
from pruning_core.storage.codec import dump
from pruning_core.studies.answers import Answered, AnswersRun, read_marks, worse
from pruning_core.studies.pictures import (
    KEPT,
    Pictured,
    PicturesRun,
    drawn,
    makes_pictures,
    read_pictures,
    write_pictures,
)
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import import_model, load_model
from tests.core.task_nets import Enlarger, Landmarks, archive, exported, made, pictures

pytestmark = pytest.mark.usefixtures("one_thread")


def brought(workspace, kind, unit, **arrays):
    """(network, the same without half of ``unit``, test images)."""
    model = import_model(exported(made(kind)), "it.pt2", workspace, input_size=(3, 16, 16)).ref
    data = import_data(archive(**arrays), "them.npz", workspace)
    data = dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3, split="test")
    plan = Plan({unit: range(4)}).to_json()
    (cut,) = [e for e in PruneRun(model, data, plan, device="cpu").run(workspace) if isinstance(e, Pruned)]
    return model, cut.model, data


def outputs(workspace, ref, data):
    test = load_data(data, workspace)
    with torch.no_grad():
        return load_model(ref, workspace).model(test.normalised(test.images)), test


def test_numbers_are_compared_in_pairs(workspace):
    points = np.random.default_rng(0).random((60, 10), np.float32)
    model, cut, data = brought(workspace, Landmarks, "body.0", images=pictures(60), labels=points)
    data = dataclasses.replace(data, measure="mse")
    (*_, before), (*_, after) = (AnswersRun(each, data, "cpu").run(workspace) for each in (model, cut))
    assert not before.of_classes and PRODUCT.checked_event(dump(after)) == after
    (first, test), (second, _) = (outputs(workspace, each, data) for each in (model, cut))
    wrong = [(each.double() - test.labels).square().mean().item() for each in (first, second)]
    assert [before.accuracy.top1, after.accuracy.top1] == pytest.approx(wrong)
    drop = worse(workspace, before, after, 10)
    assert drop.drop == pytest.approx(wrong[1] - wrong[0], rel=1e-3) and drop.low < drop.drop < drop.high
    rows = SquaredError().rows(first, test.labels)
    assert torch.allclose(read_marks(workspace, before).rows, rows, rtol=1e-5)
    with pytest.raises(UserError, match="different measures"):
        other = dataclasses.replace(after.accuracy, measure="mae")
        worse(workspace, before, dataclasses.replace(after, accuracy=other), 10)
    with pytest.raises(UserError, match="Measure them again"):
        read_marks(workspace, Answered(before.accuracy, workspace.artifacts.put(b"no file of numbers")))
    assert not makes_pictures(load_model(model, workspace))
    with pytest.raises(UserError, match="no picture"):
        list(PicturesRun(model, cut, data, "cpu").run(workspace))


def test_the_pictures_that_differ_most_are_kept(workspace):
    model, cut, data = brought(workspace, Enlarger, "first", images=pictures(60))
    *_, last = PicturesRun(model, cut, data, "cpu").run(workspace)
    assert isinstance(last, Pictured) and PRODUCT.checked_event(dump(last)) == last
    found = read_pictures(workspace, last.digest)
    (before, test), (after, _) = (outputs(workspace, each, data) for each in (model, cut))
    apart = (before - after).square().mean((1, 2, 3)).sqrt()
    assert found.numbers.tolist() == apart.topk(KEPT).indices.tolist() and last.images == len(test)
    assert np.allclose(found.apart, apart[found.numbers], rtol=1e-4)
    assert found.after.shape == (KEPT, 3, 32, 32)
    assert np.array_equal(found.inputs, test.images[found.numbers].numpy())
    forged = dataclasses.replace(found, before=found.before[:1])
    with pytest.raises(UserError, match="cannot be read"):
        read_pictures(workspace, write_pictures(workspace, forged))


def test_both_pictures_are_drawn_on_one_scale():
    one, other = drawn(torch.tensor([[[-1.0, 1.0]]]), torch.tensor([[[0.0, 9.0]]]))
    assert one.tolist() == [[[0, 255]]] and other.tolist() == [[[128, 255]]]
    assert drawn(torch.full((1, 1, 1), 0.2), torch.ones(1, 1, 1))[0].item() == 51
