"""A program that was stopped goes on exactly: every phase, with a hook that has a state, parameters and noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.search import Search
from pruning_core.criteria import TaylorGate
from pruning_core.graph import Plan
from pruning_core.methods import place as placing
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import (
    Absorb,
    Apply,
    Cut,
    Diversify,
    FindWidths,
    Judge,
    Learnt,
    Mask,
    Mend,
    Phase,
    Recover,
    Reinitialise,
    Rewind,
    Snapshot,
    Train,
    Widths,
    Zeros,
)
from pruning_core.methods.place import Keeper, Place
from pruning_core.methods.saliency import ConnectionSensitivity
from pruning_core.methods.state import State
from pruning_core.methods.swarm_widths import MapClusters
from pruning_core.methods.zeros import ZerosStay
from pruning_core.runs.events import Event
from pruning_core.sparsity.patterns import Elements
from pruning_core.training import loop
from pruning_core.training.events import Epoch, Step
from pruning_core.work import finished
from tests.core.small_programs import NoisyGates, Parts, begun, clockless, setup
from tests.core.test_training import same

pytestmark = pytest.mark.usefixtures("one_thread")


def program(state: State) -> tuple[Phase, ...]:
    """Every phase, with a hook that has a state, parameters and noise."""
    first, second = (group.key for group in state.network.groups[:2])
    return (
        Snapshot("start"), Train(0.25, (NoisyGates(),), keep="last", name="gated"), Cut(Learnt(), Widths({second: 4})),
        Recover(128), Train(0.25), Cut(TaylorGate(), Widths({first: 2, second: 5})),
        Mend(64, 8), Rewind("start"), Train(0.5),
        Mask(Elements(), ConnectionSensitivity(), Budget("macs", fraction=0.3), rounds=2), Train(0.5, (ZerosStay(),)),
        Rewind("start", zeros=True), Reinitialise(), Judge(MapClusters(), 32),
        FindWidths(Learnt(), Search(trials=2), Budget("macs", fraction=0.3), 32, 32), Cut(Learnt(), Zeros()),
        Absorb(64, 8), Diversify(0.2),
    )  # fmt: skip


def heard(event: Event) -> Any:
    if isinstance(event, Done):
        return (event.number, event.state.plan, {n: v.clone() for n, v in event.state.model.state_dict().items()})
    return clockless(event) if isinstance(event, Epoch) else None


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return one[:2] == other[:2] and all(torch.equal(value, other[2][name]) for name, value in one[2].items())
    return bool(one == other)


STOPS = [
    (Epoch, 1), (Done, 1), (Done, 2), (Step, 4), (Epoch, 4), (Done, 5), (Done, 6), (Step, 8), (Done, 8), (Done, 9),
    (Step, 10), (Done, 12), (Done, 13), (Done, 14), (Done, 15),
]  # fmt: skip


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_a_stopped_program_ends_as_if_it_had_never_stopped(
    digits: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: tuple[type, int], crash: bool
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    monkeypatch.setattr(placing, "EVERY", 0.0 if crash else 1e9)
    whole = [heard(e) for e in perform(program(begun()), begun(), setup(digits))]
    whole = [each for each in whole if each is not None]

    file = tmp_path / "place.pt"
    first, number, before = perform(program(begun()), begun(), setup(digits), Keeper(file)), 0, []
    for event in first:
        before.append(heard(event))
        if number == stop[1] and isinstance(event, stop[0]) and not (isinstance(event, Epoch) and event.epoch == 0):
            break
        number += isinstance(event, Done)
    if crash:
        kept = file.read_bytes()
        first.close()
        file.write_bytes(kept)
    else:
        first.close()
    torch.manual_seed(99)
    place = Keeper(file).load()
    assert place is not None
    after = [heard(e) for e in perform(program(begun()), begun(), setup(digits), Keeper(file))]
    after = [each for each in after if each is not None]
    assert (after and len(after) < len(whole)) or stop[1] <= 1
    assert all(equal(one, other) for one, other in zip(after, whole[-len(after) :], strict=True))


def test_a_program_that_is_done_is_not_performed_again(digits: Parts, tmp_path: Path) -> None:
    state, keeper = begun(), Keeper(tmp_path / "place.pt")
    phases = (Apply(Plan({state.network.groups[0].key: (0, 1)})), Train())
    end = finished(perform(phases, state, setup(digits), keeper))
    again = perform(phases, begun(), setup(digits), keeper)
    with pytest.raises(StopIteration) as stop:
        next(again)
    assert same(stop.value.value.model, end.model) and stop.value.value.plan == end.plan


def test_a_damaged_place_is_no_place(tmp_path: Path, digits: Parts) -> None:
    path = tmp_path / "x.pt"
    assert Place.load(path) is None
    path.write_bytes(b"PK\x03\x04 not really")
    assert Place.load(path) is None
    torch.save({"number": 1}, path)
    assert Place.load(path) is None
    run = perform((Train(),), begun(), setup(digits), Keeper(path))
    next(event for event in run if isinstance(event, Epoch))
    run.close()
    found = Place.load(path)
    assert found is not None and found.number == 0 and found.epochs(0) == 0.0 and found.epochs(1) == -1.0
