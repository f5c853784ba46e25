"""Files that earlier versions wrote are read with the right result; what a later one may write gets a sentence.

Every folder of `written_before` was written by the code of its day, with its own functions: the smallest demo cut to
two or three channels a layer, and three runs. `facts.json` holds what that code said the network gives.
"""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from pruning_core.allocation.budget import Budget
from pruning_core.criteria import CRITERIA
from pruning_core.criteria.norms import L1Norm
from pruning_core.datasets import DIGITS, DataRef
from pruning_core.errors import UserError
from pruning_core.export.document import How, read_document
from pruning_core.export.link import Shared, from_token, token
from pruning_core.export.plan_file import read_plan_file
from pruning_core.export.rebuild import rebuild
from pruning_core.export.recipe import read_recipe
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.sensitivity import Cell
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import DEMOS, import_model, load_model
from pruning_core.zoo.origin import KEY

BEFORE = Path(__file__).parent / "written_before"
DEMO = next(each for each in DEMOS if each.name == "digits_vgg")
LEFT = {"features.0": 3, "features.3": 2, "features.7": 2, "features.10": 2, "features.14": 2, "features.17": 2}


def files(name: str) -> list[Any]:
    return [pytest.param(path, id=path.parent.name) for path in sorted(BEFORE.glob(f"*/{name}"))]


def facts(beside: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((beside.parent / "facts.json").read_text())
    return found


def check_scores(model: torch.nn.Module, beside: Path) -> None:
    x = torch.sin(torch.arange(128, dtype=torch.float32) * 0.7).reshape(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.tensor(facts(beside)["scores"]), atol=2e-5, rtol=0)


def check_plan(plan: Any) -> None:
    demo = load_model(DEMO.ref).model.state_dict()
    assert {key: len(demo[f"{key}.weight"]) - len(units) for key, units in plan.items()} == LEFT


@pytest.mark.parametrize("path", files("plan.json"))
def test_a_plan_is_read_and_its_weights_build_the_network_again(path: Path) -> None:
    found = read_plan_file(path.read_text(), DIGITS)
    check_plan(found.plan)
    assert found.shared == Shared(DEMO.ref, DIGITS, found.plan)
    weights = path.with_name("weights.safetensors").read_bytes()
    check_scores(rebuild(load_model(DEMO.ref).model, read_document(path.read_text()), weights), path)


@pytest.mark.parametrize("path", files("recipe.yaml"))
def test_a_recipe_is_read_with_how_it_was_made(path: Path) -> None:
    recipe = read_recipe(path.read_text())
    check_plan(recipe.plan)
    how = recipe.how((DataRef, *CRITERIA))
    assert isinstance(how, How) and how.criterion == L1Norm() and how.seed == 3 and how.data == DIGITS
    assert how.budgets == (Budget("macs", fraction=0.25),) and how.ratios == {"features.0": 0.5}
    _, removal = recipe.apply(load_model(DEMO.ref).model)
    removal.model.load_state_dict(load(path.with_name("weights.safetensors").read_bytes()))  # the demo's were others
    check_scores(removal.model, path)


@pytest.mark.parametrize("path", [each for each in files("weights.safetensors") if each.id != "2026-11-24"])
def test_weights_that_say_how_they_were_cut_are_a_network(path: Path, tmp_path: Path) -> None:
    check_scores(import_model(path, path.name, tmp_path).model, path)


@pytest.mark.parametrize("path", files("program.pt2"))
def test_a_program_is_a_network(path: Path, tmp_path: Path) -> None:
    check_scores(import_model(path, path.name, tmp_path).model, path)


@pytest.mark.parametrize("path", files("facts.json"))
def test_a_link_leads_where_it_led(path: Path) -> None:
    if text := facts(path).get("link"):
        found = from_token(text)
        assert (found.model, found.data) == (DEMO.ref, DIGITS)
        check_plan(found.plan)
    else:
        assert path.parent.name < "2026-11-29-late", "there were no links yet"


@pytest.mark.parametrize("path", files("runs.sql"))
def test_runs_are_there_with_their_results(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "prunescope.sqlite")) as rows:
        rows.executescript(path.read_text())
    jobs = Jobs(Workspace(tmp_path), PRODUCT)
    try:
        found = {view.kind: jobs.snapshot(view.id) for view in jobs.of("ann")}
        assert {kind: view.state for kind, view in found.items()} == dict.fromkeys(
            ("evaluate", "sensitivity", "prune"), State.DONE
        )
        cells = found["sensitivity"].all(Cell)
        assert len(cells) == 6 and {cell.ratio for cell in cells} == {0.5}
        accuracy = found["evaluate"].last(Accuracy)
        assert accuracy is not None and accuracy.images == 450
        assert accuracy.top1 == pytest.approx(facts(path)["top1"], abs=1e-6)
    finally:
        jobs.close()


def test_what_a_later_version_writes_gets_a_sentence(tmp_path: Path) -> None:
    late = BEFORE / "2026-11-29-late"
    plan = json.loads((late / "plan.json").read_text()) | {"version": 2}
    recipe = (late / "recipe.yaml").read_text().replace("version: 1\n", "version: 2\n", 1)
    link = _later_link()
    weights = (late / "weights.safetensors").read_bytes()
    said = json.loads(_metadata(weights)[KEY]) | {"version": 3}
    newer = save(load(weights), {**_metadata(weights), KEY: json.dumps(said)})
    for read in (
        lambda: read_plan_file(json.dumps(plan), DIGITS),
        lambda: read_plan_file(recipe, DIGITS),
        lambda: read_recipe(recipe),
        lambda: from_token(link),
        lambda: import_model(io.BytesIO(newer), "w.safetensors", tmp_path),
    ):
        with pytest.raises(UserError, match=r"by a later version of PruneScope.*Update PruneScope"):
            read()


def _metadata(weights: bytes) -> dict[str, str]:
    length = int.from_bytes(weights[:8], "little")
    found: dict[str, str] = json.loads(weights[8 : 8 + length])["__metadata__"]
    return found


def _later_link() -> str:
    """As a version that counts on would write it."""
    found = read_plan_file((BEFORE / "2026-11-29-late" / "plan.json").read_text(), DIGITS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pruning_core.export.link.VERSION", 2)
        return token(Shared(DEMO.ref, DIGITS, found.plan))
