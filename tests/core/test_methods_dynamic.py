"""Networks with gates that open image by image: exact resume, as data, as a run, and how they come back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.program import export_pt2
from pruning_core.graph import Plan, capture, remove
from pruning_core.graph.edits import edited
from pruning_core.graph.gated import Boost, GateChannels
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.gates import counting
from pruning_core.methods.base import Method
from pruning_core.methods.channel_gating import ChannelGating
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.feature_boosting import FeatureBoosting
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Train
from pruning_core.methods.place import Keeper
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted
from pruning_core.studies.method import MethodRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.treated import PhaseDone, Treated
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, ModelRef, load_model
from pruning_core.zoo.rebuilt import edits_of, told
from pruning_core.zoo.uploads import import_model
from tests.core.small_programs import Parts, begun, blocks, network, setup
from tests.core.test_methods_boosting import boosted, program
from tests.core.test_training import same

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = torch.zeros(1, 1, 8, 8)
BOOST = Boost("3", "4", 0.5)


METHODS = (FeatureBoosting(), ChannelGating())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_stopped_method_goes_on_exactly(method: Method, digits: Parts, tmp_path: Path) -> None:
    state = begun(blocks())
    phases = program(method, state)
    whole_events: list[object] = []
    work = perform(phases, state, setup(digits))
    while True:
        try:
            whole_events.append(next(work))
        except StopIteration as end:
            whole = end.value
            break
    trainings = [number for number, phase in enumerate(phases) if isinstance(phase, Train)]
    for stop in range(4):
        file, number, seen = tmp_path / f"{stop}.pt", 0, 0
        stopped = perform(phases, begun(blocks()), setup(digits), Keeper(file))
        for event in stopped:
            number += isinstance(event, Done)
            seen += isinstance(event, Epoch) and number == trainings[-1]
            if seen > stop:
                break
        stopped.close()
        end = finished(perform(phases, begun(blocks()), setup(digits), Keeper(file)))
        assert end.edits == whole.edits and whole.edits and same(end.model, whole.model)


# -- as data, and as a run ---------------------------------------------------------------------------------------------


def test_gates_are_text_and_come_back_with_their_weights() -> None:
    gates = (BOOST, GateChannels("3", 4, 0.5))
    assert edits_of(told(gates)) == gates
    again = edited(network(), edits_of(told((BOOST,))))
    assert torch.equal(again[3].gate.weight, boosted()[3].gate.weight), "drawn by the seed"
    other = edited(network(), (Boost("3", "4", 0.5, seed=1),))
    assert not torch.equal(other[3].gate.weight, again[3].gate.weight)


@pytest.mark.parametrize("edit", [Boost("3", "1", 0.5), Boost("1", "4", 0.5), Boost("3", "9", 0.5)], ids=str)
def test_gates_of_another_network_are_refused(edit: Boost) -> None:
    with pytest.raises(UserError, match="cannot be changed"):
        edited(network(), (edit,))


@pytest.fixture(scope="module", params=METHODS, ids=lambda m: m.card.key)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    workspace = Workspace(tmp_path_factory.mktemp("gates"))
    config = FineTune(epochs=2, batch_size=256, lr=0.02, device="cpu")
    spec = MethodRun(DEMOS[0].ref, DIGITS, request.param, Budget("macs", fraction=0.65), config)
    yield workspace, list(spec.run(workspace)), request.param


def test_a_network_with_gates_is_measured_stored_and_comes_back(ended: tuple) -> None:
    workspace, events, method = ended
    (end,) = [event for event in events if isinstance(event, Treated)]
    phases = [event for event in events if isinstance(event, PhaseDone)]
    average = end.after.average
    assert average is not None and end.before.average is None and phases[-1].average == average
    assert average.p10 <= average.mean <= average.p90 and average.images == end.after.accuracy.images
    assert average.mean <= (0.65 if method.budgeted else 0.9) * end.before.cost.macs <= end.after.cost.macs
    again = load_model(ModelRef.from_json(end.model.to_json()), workspace)
    _, test = finished(both_splits(DIGITS, workspace))
    images = fitted(test, DIGITS, again)
    assert evaluate(again.model, images, device="cpu").top1 == end.after.accuracy.top1
    counted = finished(counting(again.model, capture(again.model, IMAGE), images, device="cpu"))
    assert counted.average(images) == average
    assert float(counted.right.double().mean()) == pytest.approx(end.after.accuracy.top1)
    for event in events:
        assert PRODUCT.checked_event(dump(event)) == event


def test_what_began_with_gates_is_counted_before_and_after_a_cut(ended: tuple) -> None:
    workspace, events, method = ended
    (first,) = [event for event in events if isinstance(event, Treated)]
    config = FineTune(epochs=1, batch_size=256, lr=0.02, device="cpu")
    spec = MethodRun(first.model, DIGITS, CutAndTrain(), Budget("macs", fraction=0.8), config)
    if isinstance(method, FeatureBoosting):
        with pytest.raises(UserError, match="No layer of this network may lose a channel"):
            list(spec.run(workspace))
        return
    (end,) = [event for event in spec.run(workspace) if isinstance(event, Treated)]
    assert end.before.average == first.after.average and end.after.average is not None
    assert end.after.average.mean < end.before.average.mean and end.after.average.mean < end.after.cost.macs


def test_it_is_exported_and_the_program_says_the_same(ended: tuple) -> None:
    """As a program, and as ONNX, which comes back."""
    workspace, events, _ = ended
    (end,) = [event for event in events if isinstance(event, Treated)]
    model, x = load_model(end.model, workspace).model, torch.rand(3, 1, 8, 8)
    made = export_pt2(model, IMAGE)
    program = torch.export.load(io.BytesIO(made.data)).module()
    assert made.any_batch and torch.allclose(program(x), model(x), atol=1e-4)
    onnx = export_onnx(model, IMAGE)
    again = import_model(io.BytesIO(onnx.data), "gates.onnx", workspace).model
    assert onnx.any_batch and torch.allclose(again(x), model(x), rtol=1e-3, atol=1e-3)


def test_the_groups_of_a_network_with_gates_are_blocked_with_a_reason_or_cut_exactly() -> None:
    model, also = (edited(network(), (edit,)).eval() for edit in (GateChannels("3", 4, 0.0), BOOST))
    gated_too, boost = capture(model, IMAGE), capture(also, IMAGE)
    assert any(each.reason == "its order matters" for each in boost.blocked)
    assert gated_too.groups
    for group in gated_too.groups:
        assert group.exact and remove(model, gated_too, Plan({group.key: (0,)})).proof.exact
