"""What the pages ask of a stranger's network: a child gives the same answers as this process would."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from pruning_core.analysis.similarity import response_rows
from pruning_core.analysis.slider import Slider
from pruning_core.apart.described import looked_at
from pruning_core.apart.far import Far
from pruning_core.apart.held import held, names_of, tensors_of
from pruning_core.apart.opening import open_apart
from pruning_core.criteria import CRITERIA, Criterion, TaylorGate, score
from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.export.as_brought import as_brought
from pruning_core.export.document import Base, plan_document
from pruning_core.export.lineage import cut_of
from pruning_core.export.onnx_file import Names, export_onnx
from pruning_core.export.program import export_pt2
from pruning_core.export.script import write_script
from pruning_core.graph import Network, Plan, capture
from pruning_core.isolation.children import Children
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.studies.sensitivity import scored
from pruning_core.work import finished
from pruning_core.zoo import LoadedModel, ModelRef, load_model
from tests.core.houses import house_of, small_program

KEY = "layer1.0.conv1"


@pytest.fixture(scope="module")
def house() -> Iterator[Children]:
    with house_of("tests.core.isolated_tasks") as made:
        yield made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def ref(root: Workspace) -> ModelRef:
    return ModelRef("upload", "small.pt2", root.artifacts.put(small_program()), "exported")


@pytest.fixture(scope="module")
def here(ref: ModelRef, root: Workspace) -> tuple[LoadedModel, Network]:
    opened = looked_at(load_model(ref, root))
    return opened.loaded, opened.network


def test_scores_and_answers_of_channels(
    house: Children, root: Workspace, ref: ModelRef, here: tuple[LoadedModel, Network]
) -> None:
    loaded, network = here
    far = Far(house, ref, root)
    expected = finished(scored(loaded, network, TaylorGate(), root, DIGITS, 3))
    found = far.scores(network, TaylorGate(), DIGITS, 3)
    assert list(found) == list(expected) and all(
        torch.allclose(found[key], expected[key], rtol=1e-4) for key in expected
    )
    fit, _ = hold_out(load_splits(DIGITS)[0], DIGITS)
    group = network.group(KEY)
    rows = response_rows(loaded.model, group, fitted(fit.subset(16, 0), DIGITS, loaded), images=16)
    assert torch.allclose(far.responses(group, DIGITS, 16), rows, rtol=1e-4)


@pytest.mark.parametrize(
    "criterion", [each() for each in CRITERIA if not each().runs_network], ids=lambda c: c.card.key
)
def test_weights_alone_are_judged_without_the_network(criterion: Criterion, here: tuple[LoadedModel, Network]) -> None:
    loaded, network = here
    numbers = held(names_of(loaded.model), tensors_of(loaded.model))
    (expected,), (found,) = (score(each, network, (criterion,)).values() for each in (loaded.model, numbers))
    assert found.missing == expected.missing and list(found.values) == list(expected.values)
    assert all(torch.equal(found.values[key], expected.values[key]) for key in expected.values)


def test_what_is_taken_home(house: Children, root: Workspace, ref: ModelRef, here: tuple[LoadedModel, Network]) -> None:
    cut = ModelRef("pruned", ref.name, base=ref, plan=Plan({KEY: (0, 2)}).to_json())
    expected = cut_of(load_model(cut, root), lambda each: load_model(each, root))
    far = Far(house, cut, root)
    made = far.export("pt2")
    whole = export_pt2(expected.small.model, torch.zeros(1, 1, 8, 8))
    assert (made.any_batch, made.checked, made.notes) == (whole.any_batch, whole.checked, whole.notes)
    back = load_model(ModelRef("upload", "back.pt2", root.artifacts.put(made.data), "exported"), root)
    images = torch.rand(3, 1, 8, 8)
    assert torch.allclose(back.model(images), expected.small.model.eval()(images), atol=1e-6)
    opened = {each.key: open_apart(house, each, root) for each in (ref, cut)}
    found = far.cut(opened[cut.key].loaded, lambda each: opened[each.key].loaded, lambda each: opened[each.key].network)
    assert (found.plan, found.tuned, found.trained, found.steps) == (expected.plan, False, False, 1)
    assert (found.removal.cost, found.removal.form) == (expected.removal.cost, expected.removal.form)
    assert found.network.cost(found.plan) == expected.network.cost(expected.plan)
    text = write_script(
        expected.base.model, expected.network, expected.plan, expected.as_program(), title=expected.base.title,
        weights_file="w.safetensors", file="a.py",
    )  # fmt: skip
    assert far.script("a.py", "w.safetensors") == text
    base = Base(expected.base.title, ref.to_json(), "by hand", expected.base.model.state_dict())
    document = plan_document(base, expected.network, expected.plan, expected.removal)
    assert far.document("by hand", "") == document


def test_sliders_get_the_same_accuracies_and_another_child_when_theirs_ends(
    house: Children, root: Workspace, ref: ModelRef, here: tuple[LoadedModel, Network]
) -> None:
    loaded, network = here
    assert house._process is not None
    _, held_out = hold_out(load_splits(DIGITS)[0], DIGITS)
    inside = Slider(loaded.model, network, fitted(held_out.subset(200), DIGITS, loaded))
    slider = Far(house, ref, root).slider(DIGITS, 200)
    plan, next_plan = Plan({KEY: (1,)}), Plan({KEY: (1, 3)})
    assert slider.title == inside.title and slider.measured(plan) is None and slider.estimate(plan) is None
    for _ in slider.measuring(plan):
        break  # somebody moved on
    assert slider.measured(plan) is None
    expected = list(inside.measuring(plan))
    found = list(slider.measuring(plan))[-1]
    assert found.accuracy.complete and slider.measured(plan) == found
    assert (found.accuracy.top1, found.drop) == (expected[-1].accuracy.top1, expected[-1].drop)
    assert list(slider.expanding(plan)) == list(inside.expanding(plan))
    near, there = inside.estimate(next_plan), slider.estimate(next_plan)
    assert near is not None and there is not None and np.isclose(near.top1, there.top1)
    assert (near.images, near.units) == (there.images, there.units)
    with pytest.raises(UserError, match="no group named"):
        list(slider.measuring(Plan({"nowhere": (0,)})))
    killed = Path(f"/proc/{house._process.pid}/task/{house._process.pid}/children").read_text().split()
    for pid in killed:
        os.kill(int(pid), signal.SIGKILL)
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in killed) and time.monotonic() < until:
        time.sleep(0.01)  # one that waits for its first order may still take it while it dies
    with pytest.raises(UserError, match="ended its reader"):
        list(slider.measuring(next_plan))
    assert list(slider.measuring(next_plan))[-1].accuracy.complete


def test_what_came_as_onnx_leaves_with_its_names(
    house: Children, root: Workspace, here: tuple[LoadedModel, Network]
) -> None:
    import onnx

    loaded, _ = here
    example = torch.zeros(1, *loaded.input_size)
    given = export_onnx(loaded.model, example, Names(("picture",), ("scores",))).data
    ref = ModelRef("upload", "small.onnx", root.artifacts.put(given), "onnx")
    (group, *_) = capture(load_model(ref, root).model, example).groups
    cut = ModelRef("pruned", "small.onnx", base=ref, plan=Plan({group.key: (0,)}).to_json())
    graph = onnx.load_from_string(Far(house, cut, root).export("onnx").data).graph
    assert [each.name for each in (*graph.input, *graph.output)] == ["picture", "scores"]
    assert as_brought(loaded)[2] == Names(), "another file says nothing of names"
