"""Weights of a network whose build was changed say how, and it is built again; what a stranger says there is judged."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.export.weights import KEY, origin_metadata, weights_bytes
from pruning_core.graph import Plan, capture
from pruning_core.graph.edits import Drop, Edit, Regroup
from pruning_core.graph.gated import Boost, GateChannels
from pruning_core.graph.projected import Project
from pruning_core.methods.projections import projections
from pruning_core.storage.weights import store_weights
from pruning_core.zoo import DEMOS, LoadedModel, ModelRef, import_model, load_model, origin
from pruning_core.zoo.rebuilt import EDITS, edits_of, told

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = tuple(tuple(range(start, start + 8)) for start in (0, 8))
# of the demo: one of each kind, at a layer that has such a thing
KINDS: dict[str, Edit] = {
    "Drop": Drop("layer1.0"),
    "Regroup": Regroup("layer1.0.conv2", ROWS, ROWS),
    "Boost": Boost("layer1.0.conv1", "layer1.0.bn1", 0.5, 3),
    "GateChannels": GateChannels("layer1.0.conv2", 4, 0.1),
    "Project": Project("layer1.0.bn2", 16),
}


def demo() -> LoadedModel:
    return load_model(DEMOS[0].ref)


def rebuilt(base: LoadedModel, edits: tuple[Edit, ...], root: Path) -> LoadedModel:
    """With weights of its own, as a method leaves it."""
    ref = ModelRef("rebuilt", base.ref.name, options=((EDITS, told(edits)),), input_size=base.input_size, base=base.ref)
    made = load_model(ref, root)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
    return load_model(dataclasses.replace(ref, weights=store_weights(made.model.state_dict(), root)), root)


def cut(base: LoadedModel, root: Path) -> LoadedModel:
    groups = capture(base.model, torch.zeros(1, *base.input_size)).groups
    plan = Plan({group.key: range(group.size // 4) for group in groups if group.exact})
    return load_model(ModelRef("pruned", base.ref.name, base=base.ref, plan=plan.to_json()), root)


def came_back(made: LoadedModel, root: Path) -> LoadedModel:
    """Through the door, and once more by its reference; both say the same as ``made``."""
    back = import_model(io.BytesIO(weights_bytes(made.model, origin_metadata(made))), "w.safetensors", root)
    again = load_model(ModelRef.from_json(back.ref.to_json()), root)
    x = torch.randn(4, *made.input_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert all(torch.allclose(each.model(x), made.model(x), rtol=1e-4, atol=1e-5) for each in (back, again))
    return back


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_of_a_build_comes_back_with_its_weights(tmp_path: Path, kind: str) -> None:
    made = rebuilt(demo(), (KINDS[kind],), tmp_path)
    assert {k: v.shape for k, v in made.model.state_dict().items()} != {
        k: v.shape for k, v in demo().model.state_dict().items()
    }
    back = came_back(made, tmp_path)
    assert "its build changed 1 time(s)" in back.notes[0] and "(rebuilt)" in back.title


def test_changes_and_cuts_come_back_in_their_order_and_are_written_again(tmp_path: Path) -> None:
    first = cut(demo(), tmp_path)
    found = projections(first.model, capture(first.model, torch.zeros(1, *first.input_size)))
    last = cut(rebuilt(first, found, tmp_path), tmp_path)
    back = came_back(last, tmp_path)
    assert [type(each) for each in back.cuts] == [origin.Cut, origin.Changed, origin.Cut]
    came_back(cut(back, tmp_path), tmp_path)


def edits_said(*edits: Any) -> dict[str, Any]:
    return {"cuts": [{"edits": json.dumps(edits)}]}


HOSTILE: dict[str, Any] = {
    "no text": {"cuts": [{"edits": 3}]},
    "no JSON": {"cuts": [{"edits": "{"}]},
    "another class": edits_said({"$": "Popen", "args": "id"}),
    "no edit": edits_said(3),
    "a name that is none": edits_said({"$": "Project", "norm": 3, "channels": 16}),
    "a number that is text": edits_said({"$": "Project", "norm": "layer1.0.bn2", "channels": "16"}),
    "a layer that is not there": edits_said({"$": "Project", "norm": "nowhere", "channels": 16}),
    "another width": edits_said({"$": "Project", "norm": "layer1.0.bn2", "channels": 10**9}),
    "the network itself": edits_said({"$": "Drop", "block": ""}),
    "a method of a module": edits_said({"$": "Drop", "block": "forward"}),
    "many changes": edits_said(*[{"$": "Drop", "block": "layer1.0"}] * 100_000),
    "density without end": edits_said(
        {"$": "Boost", "layer": "layer1.0.conv1", "norm": "layer1.0.bn1", "density": {"$": "float", "value": "inf"}}
    ),
    "a seed without end": edits_said(
        {"$": "Boost", "layer": "layer1.0.conv1", "norm": "layer1.0.bn1", "density": 0.5, "seed": 10**30}
    ),
    "channels read again and again": edits_said(
        {"$": "Regroup", "layer": "layer1.0.conv2", "filters": ROWS, "inputs": [[0] * 100_000] * 2}
    ),
    "channels that are not there": edits_said(
        {"$": "Regroup", "layer": "layer1.0.conv2", "filters": ROWS, "inputs": [[10**6], [-(10**6)]]}
    ),
    "other edits than were made": edits_said({"$": "Drop", "block": "layer1.0"}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_file_says_of_changes_is_judged(tmp_path: Path, what: str) -> None:
    made = rebuilt(demo(), (KINDS["Project"],), tmp_path)
    said = {**json.loads(origin_metadata(made)[KEY]), **HOSTILE[what]}
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"w\.safetensors|The plan in this file|cannot be changed"):
        import_model(io.BytesIO(weights_bytes(made.model, {KEY: json.dumps(said)})), "w.safetensors", tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept


OF_OTHER_TYPES: dict[str, Any] = {
    "no edit": 3,
    "a name that is a number": {"$": "Drop", "block": 3},
    "no name": {"$": "Drop", "block": None},
    "a number that is text": {"$": "Project", "norm": "layer1.0.bn2", "channels": "16"},
    "a number that is a truth": {"$": "GateChannels", "layer": "layer1.0.conv2", "parts": True, "threshold": 0.1},
    "a share that is text": {"$": "Boost", "layer": "layer1.0.conv1", "norm": "layer1.0.bn1", "density": "0.5"},
    "channels that are text": {"$": "Regroup", "layer": "layer1.0.conv2", "filters": [["0"]], "inputs": [[0]]},
    "one row in place of rows": {"$": "Regroup", "layer": "layer1.0.conv2", "filters": [0, 1], "inputs": [[0]]},
}


@pytest.mark.parametrize("what", OF_OTHER_TYPES)
def test_an_edit_whose_fields_are_of_other_types_is_none(what: str) -> None:
    """Before anything is built by it: what an edit does with such a value is anybody's guess."""
    assert edits_of(told((KINDS["Drop"],))) == (KINDS["Drop"],)
    for edits in ([OF_OTHER_TYPES[what]], [{"$": "Drop", "block": "layer1.0"}, OF_OTHER_TYPES[what]]):
        with pytest.raises(UserError, match="no stored change of a network"):
            edits_of(json.dumps(edits))


def test_a_change_has_no_more_edits_than_a_network_may_have_layers() -> None:
    def said(count: int) -> list[dict[str, str]]:
        return [{"edits": told((KINDS["Drop"],) * count)}]

    (most,) = origin.cuts_of(said(origin.MOST_EDITS))
    assert isinstance(most, origin.Changed) and len(most.edits) == origin.MOST_EDITS
    with pytest.raises(ValueError, match="more changes than a network has layers"):
        origin.cuts_of(said(origin.MOST_EDITS + 1))


def test_changes_that_would_fill_the_memory_are_counted_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sum(each.numel() for each in demo().model.state_dict().values())
    monkeypatch.setattr(origin, "MOST_WEIGHTS", whole + 16 * 16 * 20)
    norms = ["layer1.0.bn2" + ".last" * depth for depth in range(40)]
    with pytest.raises(UserError, match="more weights than are built here"):
        origin.recut(demo().model, (origin.Changed(tuple(Project(norm, 16) for norm in norms)),), demo().input_size)
    model = origin.recut(demo().model, (origin.Changed((Project(norms[0], 16),)),), demo().input_size)
    assert isinstance(model, nn.Module) and not model.training


def test_what_has_no_changes_is_written_for_older_versions_too(tmp_path: Path) -> None:
    plain = json.loads(origin_metadata(cut(demo(), tmp_path))[KEY])
    changed = json.loads(origin_metadata(rebuilt(demo(), (KINDS["Project"],), tmp_path))[KEY])
    assert (plain["version"], changed["version"]) == (origin.VERSION, origin.WITH_EDITS)
