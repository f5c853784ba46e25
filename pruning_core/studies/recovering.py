"""A recovery as a part of longer work: what a cut network becomes by it, and what that is worth."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from time import perf_counter

from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.measures import Accuracy
from pruning_core.mending import Mender
from pruning_core.methods.perform import only_events, perform
from pruning_core.methods.phases import Apply
from pruning_core.methods.recoveries import Mending, Recovery, phases_of
from pruning_core.methods.state import Origin, Setup, Snap, State
from pruning_core.methods.treatments import mended, mender
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.work import told


def recovering(
    whole: nn.Module,
    network: Network,
    plan: Plan,
    pruned: nn.Module,
    recovery: Recovery,
    fit: Dataset,
    *,
    seed: int = 0,
    device: str = "auto",
) -> Generator[Event, None, nn.Module]:
    """What ``pruned``, which is ``whole`` without the units of ``plan``, becomes by ``recovery``; use ``yield from``.

    ``network`` is the capture of ``whole``, ``fit`` the images to look at, as the network takes them. Raises UserError
    for a recovery that trains: that needs settings of its own.
    """
    if recovery.trains:
        raise UserError(f"{recovery.card.name} is a training: it belongs to Fine-tune. Choose another recovery.")
    state = State(Origin(whole, network.example, network), pruned, plan, uncut=Snap(whole, Plan()))
    setup = Setup(fit, fit, seed=seed, device=device)
    after = yield from told(perform(phases_of((recovery,)), state, setup), only_events)
    return after.model


@dataclass(frozen=True)
class KeptAccuracy:
    """What a recovery leaves of the accuracy: ``images`` were looked at for ``seconds``, others were measured on."""

    accuracy: Accuracy
    images: int
    seconds: float


def menders(
    whole: nn.Module, network: Network, recovery: Recovery, fit: Dataset, *, seed: int = 0, device: str = "auto"
) -> Mender | None:
    """For many plans of one network: what :func:`keeping` mends by. None for recoveries that mend nothing."""
    if not isinstance(recovery, Mending):
        return None
    images, positions = recovery.images, recovery.positions
    return mender(whole, network, fit, images=images, positions=positions, seed=seed, device=device)


def keeping(
    whole: nn.Module,
    network: Network,
    plan: Plan,
    recovery: Recovery,
    fit: Dataset,
    held_out: Dataset,
    *,
    by: Mender | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Generator[Event, None, KeptAccuracy]:
    """Cut by ``plan``, recover on ``fit``, measure on ``held_out``; an Accuracy per batch on the way.

    ``by`` is what :func:`menders` gave for the same network, recovery and images: it remembers.
    """
    began = perf_counter()
    if by is not None:
        yield Stage("refitting the layers that read what is left")
        removal = yield from told(mended(by, plan, fit), lambda share: (Progress(round(100 * share), 100, "%"),))
        model = removal.model
    else:
        setup = Setup(fit, fit, seed=seed, device=device)
        cut = yield from told(perform((Apply(plan),), State.of(whole, network), setup), only_events)
        model = yield from recovering(whole, network, plan, cut.model, recovery, fit, seed=seed, device=device)
    seconds, tally, accuracy = perf_counter() - began, Tally(held_out), None
    for batch in predicting(model, held_out, device=device):
        accuracy = tally.add(batch)
        yield accuracy
    if accuracy is None:
        raise UserError("There are no held-out images to measure on. Choose another data set.")
    return KeptAccuracy(accuracy, min(recovery.looks_at, len(fit)), seconds)
