"""The sensitivity sweep as a run that mends: which images it fits on, what it says, what older runs become."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from pruning_core.analysis.sensitivity import LeftOut, NotMended
from pruning_core.datasets import DIGITS, Dataset, load_data
from pruning_core.errors import UserError
from pruning_core.measuring.measures import Cell
from pruning_core.methods.recoveries import RECOVERIES, JustCut, Mending, Recovery
from pruning_core.runs.events import Event, Stage
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies import sensitivity
from pruning_core.studies.sensitivity import SWEPT, SensitivityRun, _with_progress
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import DEMOS

SPEC = SensitivityRun(DEMOS[0].ref, replace(DIGITS, split="held-out"), ratios=(0.6,), device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def cells(events: list[Event]) -> dict[tuple[str, float], Cell]:
    return {(e.group, e.ratio): e for e in events if isinstance(e, Cell)}


def test_mended_cells_keep_more_and_nothing_that_fits_reports(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Dataset] = []
    original = sensitivity.fit_sample

    def noted(*given: Any) -> Generator[Event, None, Dataset]:
        found = yield from original(*given)
        asked.append(found)
        return found

    monkeypatch.setattr(sensitivity, "fit_sample", noted)
    plain = cells(list(SPEC.run(workspace)))
    assert not asked and not any(cell.mended for cell in plain.values())
    mended = cells(list(replace(SPEC, recovery=Mending(images=96)).run(workspace)))
    assert mended.keys() == plain.keys() and all(cell.mended for cell in mended.values())
    gained = [mended[at].top1 - plain[at].top1 for at in plain]
    assert sum(gained) / len(gained) > 0.1
    reporting = {image.numpy().tobytes() for image in load_data(SPEC.data, workspace).images}
    (fit,) = asked
    assert len(fit) == 96 and not reporting & {image.numpy().tobytes() for image in fit.images}


@pytest.mark.parametrize("split", ["train", "fit"])
def test_images_that_would_fit_and_measure_are_refused(split: Any, workspace: Workspace) -> None:
    spec = replace(SPEC, data=replace(DIGITS, split=split), recovery=Mending())
    with pytest.raises(UserError, match="held-out"):
        next(spec.run(workspace))


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_only_what_costs_no_forward_a_cell_can_be_swept(recovery: type[Recovery], workspace: Workspace) -> None:
    events = replace(SPEC, recovery=recovery()).run(workspace)
    if recovery in SWEPT:
        assert isinstance(next(events), Stage)
    else:
        with pytest.raises(UserError, match="What-if"):
            next(events)


def test_a_run_that_was_stored_before_is_one_that_just_cuts() -> None:
    mended = replace(SPEC, recovery=Mending())
    assert PRODUCT.spec(dump(mended)) == mended and mended.key != SPEC.key
    old = json.loads(dump(SPEC))
    del old["recovery"]
    assert PRODUCT.spec(json.dumps(old)) == SPEC and SPEC.recovery == JustCut()
    cell = Cell("g", 0.5, 3, 0.9, None, 64, 0.8, 1.0, 0.05, -0.01, 0.1, 2, 1, False, 0.1)
    before = json.loads(dump(cell))
    del before["mended"]
    assert PRODUCT.event(json.dumps(before)) == cell


def test_what_is_left_out_and_what_is_not_mended_is_said() -> None:
    events = iter([LeftOut("a", "one."), NotMended("b", "two."), NotMended("c", "three.", partly=True)])
    told = [e.text for e in _with_progress(events, 1, 1, (), foreseen=True) if isinstance(e, Stage)]
    assert told == ["a is left out: one.", "b is just cut, not mended: two.", "c is mended in part: three."]
