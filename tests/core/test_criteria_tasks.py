"""Criteria that read gradients, on networks that are no classifiers: the loss is that of what they are judged by."""

from __future__ import annotations

import pytest
import torch
from task_nets import Enlarger, Landmarks, Painter, Scales, made, pictures

from pruning_core.analysis.agreement import spearman
from pruning_core.criteria import CRITERIA, score
from pruning_core.criteria.tasks import sloped, task_of
from pruning_core.datasets import Dataset
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.forward import taken
from pruning_core.measuring.registry import BY_KEY
from pruning_core.numeric.outputs import Takes

KINDS = {"psnr": Enlarger, "miou": Painter, "nme": Landmarks, "mae": Landmarks, "output_error": Scales,
         "place_agreement": Painter, "divergence": Painter, "cosine": Landmarks}  # fmt: skip


def case(key: str, images: int = 16, seed: int = 0):
    """(network, capture, data): targets of the shape of the outputs, or the outputs themselves."""
    measure, model = BY_KEY[key], made(KINDS[key])
    seen = torch.from_numpy(pictures(images, seed=seed)).permute(0, 3, 1, 2)
    with torch.no_grad():
        raw = model(seen / 255)
    outputs = taken(raw, measure.takes)
    generator = torch.Generator().manual_seed(seed + 1)
    match measure.against.name:
        case "NETWORK":
            labels = measure.target(outputs)
        case "PLACES":
            labels = outputs.argmax(1).byte()
        case _:
            labels = (outputs + 0.1 * torch.randn(outputs.shape, generator=generator)).float()
    data = Dataset(seen.contiguous(), labels, (), (0.0,) * 3, (1.0,) * 3, "d", measure=key)
    return model, capture(model, torch.zeros(1, 3, 16, 16)), data


@pytest.mark.parametrize("key", KINDS)
def test_every_criterion_that_reads_gradients_judges(key):
    model, network, data = case(key)
    wanted = [each() for each in CRITERIA if each().needs_labels]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = score(model, network, wanted, data, images=8, batch_size=4)
    for criterion in wanted:
        said = {**found[criterion].values, **found[criterion].missing}
        assert set(said) == {group.key for group in network.groups}
        assert found[criterion].values, (criterion.label, found[criterion].missing)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "nothing was touched"


def test_the_gradient_is_that_of_the_measure():
    model, network, data = case("mae")
    (criterion,) = [each() for each in CRITERIA if each.card.key == "taylor-weight"]
    found = score(model, network, [criterion], data, images=16, batch_size=16)[criterion].values
    (model(data.images / 255) - data.labels).abs().mean().backward()
    weight = dict(model.named_parameters())["head.0.weight"]
    by_hand = (weight * weight.grad).square().sum(1).double()
    assert torch.allclose(found["head.0"], by_hand, rtol=1e-4)


def test_without_labels_gradients_rank_by_how_far_the_outputs_move():
    """Drawn targets leave a slope; its squares rank channels as removing each of them does."""
    model, network, data = case("output_error", images=64)
    (criterion,) = [each() for each in CRITERIA if each.card.key == "taylor"]
    key = network.groups[0].key
    found = score(model, network, [criterion], data, images=64, batch_size=1)[criterion].values[key]
    really = []
    for channel in range(network.group(key).size):
        with torch.no_grad():
            outputs = taken(remove(model, network, Plan({key: (channel,)})).model(data.images / 255), Takes.NUMBERS)
        really.append(BY_KEY["output_error"].of(BY_KEY["output_error"].rows(outputs, data.labels))[0])
    assert spearman(found, torch.tensor(really).double()) > 0.6
    still = taken(model(data.images / 255), Takes.NUMBERS)
    loss = task_of(data).loss(model(data.images / 255), data.labels, 1.0)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    assert still.requires_grad and all(float(each.abs().max()) == 0 for each in gradients if each is not None)


def test_targets_of_people_and_decisions_are_left_as_they_are():
    for key in ("mae", "miou", "place_agreement"):
        data = case(key)[2]
        assert sloped(data, 0) is data
    data = case("output_error")[2]
    moved = sloped(data, 3)
    assert not torch.equal(moved.labels, data.labels) and torch.equal(moved.labels, sloped(data, 3).labels)
    apart = float((moved.labels - data.labels).std() / data.labels.std())
    assert apart == pytest.approx(0.1, rel=0.1)
