"""Phases and results of methods as rows. No streamlit calls but the names of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.methods import dynamic, sparse
from pages.ui import measured as values
from pages.ui import numbers
from pages.ui.language import _, said
from pruning_core.measuring.measures import TOP1
from pruning_core.methods.channel_gating import Gating
from pruning_core.methods.feature_boosting import Boosting
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
    Rebuild,
    Recover,
    Reinitialise,
    Rewind,
    Snapshot,
    Train,
)
from pruning_core.methods.rebuilding import WithoutBlocks
from pruning_core.runs.events import Event
from pruning_core.studies.treated import PhaseDone
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.watch import Watch, Watched

NOT_YET = "–"


def done_columns() -> dict[str, Any]:
    return {
        "phase": st.column_config.TextColumn(_("Phase"), width="medium"),
        "what": st.column_config.TextColumn(_("What happens")),
        "epochs": st.column_config.TextColumn(_("Epochs"), width="small"),
        "accuracy": st.column_config.TextColumn(
            _("On the test images"), help=_("With its 95 % interval, of the weights that were kept.")
        ),
        "macs": "MACs",
        "parameters": _("Parameters"),
        "left": st.column_config.TextColumn(
            _("Weights not zero"), help=_("Of the layers that multiply, once the method sets weights to zero.")
        ),
        "seconds": st.column_config.TextColumn(_("Time"), help=_("With measuring.")),
    }


def what(phase: Phase) -> str:
    match phase:
        case Train(hooks=hooks, longer=longer):
            longer_than = _(" {longer:.2f} times as long").format(longer=longer) if longer != 1 else ""
            return (
                _("train{longer_than}, with a part of the method in every step").format(longer_than=longer_than)
                if hooks
                else _("train{longer_than}").format(longer_than=longer_than)
            )
        case Cut(by=by):
            return _("remove channels by {criterion}").format(
                criterion=_("what was learnt") if isinstance(by, Learnt) else said(by.card.name)
            )
        case Apply():
            return _("remove given channels")
        case Recover():
            return _("renew batch-norm statistics")
        case Mend():
            return _("refit by least squares what reads the cut channels")
        case Absorb():
            return _("hand the mean of the cut channels to what reads them")
        case Snapshot():
            return _("remember the weights")
        case Rewind(zeros=zeros):
            return _("go back to remembered weights") + (_(", zeros stay") if zeros else "")
        case Mask():
            return _("set weights to zero")
        case Judge():
            return _("judge channels by what images make of them")
        case FindWidths(search=search):
            return _("try widths on held-out images ({name})").format(name=said(search.explorer.card.name))
        case Diversify():
            return _("new weights for filters that are like others")
        case Rebuild(how=WithoutBlocks()):
            return _("take whole blocks out")
        case Rebuild(how=Boosting() | Gating()):
            return _("put gates into convolutions")
        case Rebuild():
            return _("make convolutions grouped")
        case Reinitialise():
            return _("draw new random weights")


def timeline(phases: Sequence[Phase], configs: Mapping[int, FineTune]) -> list[dict[str, str]]:
    return [
        {
            "phase": f"{number + 1} · {said(phase.name)}",
            "what": what(phase),
            "epochs": str(configs[number].epochs) if number in configs else NOT_YET,
        }
        for number, phase in enumerate(phases)
    ]


def performed(rows: list[dict[str, str]], events: Iterable[Event]) -> list[dict[str, str]]:
    """The timeline with what was measured after each phase so far."""
    done = {event.number: event for event in events if isinstance(event, PhaseDone)}

    def measured(number: int) -> dict[str, str]:
        if number not in done:
            return dict.fromkeys(("accuracy", "macs", "parameters", "left", "seconds"), NOT_YET)
        each = done[number]
        return {
            "accuracy": values.text(each.accuracy),
            "macs": dynamic.text(each.average, each.macs),
            "parameters": f"{each.parameters:,}",
            "left": sparse.left(each.sparsity),
            "seconds": numbers.duration(each.seconds),
        }

    return [{**row, **measured(number)} for number, row in enumerate(rows)]


def accuracies(events: Iterable[Event], configs: Mapping[int, FineTune]) -> pd.DataFrame:
    """`epoch` over all trainings, `top1`, `low`, `high`: two rows where one phase ends and the next begins."""
    rows = []
    for event in events:
        if isinstance(event, Epoch):
            number = int(event.tag)
            before = sum(config.epochs for each, config in configs.items() if each < number)
            rows.append((before + event.epoch, event.top1, event.low, event.high))
    return pd.DataFrame(rows, columns=["epoch", "top1", "low", "high"])


def measure_of(events: Iterable[Event]) -> str:
    """The key of what the trainings are judged by."""
    return next((event.measure for event in events if isinstance(event, Epoch)), TOP1)


@dataclass(frozen=True)
class Seen:
    """One watch of one training, epoch by epoch."""

    watch: Watch
    phase: str
    epochs: tuple[int, ...]
    values: tuple[Watched, ...]


def watched(phases: Sequence[Phase], events: Iterable[Event]) -> list[Seen]:
    """What the hooks of every training have shown so far, the latest training first."""
    known = [event for event in events if isinstance(event, Epoch) and event.watched]
    found = []
    for number, phase in reversed(list(enumerate(phases))):
        if not isinstance(phase, Train):
            continue
        own = [event for event in known if event.tag == str(number)]
        for watch in (watch for hook in phase.hooks for watch in hook.watches):
            pairs = [(e.epoch, each) for e in own for each in e.watched if each.key == watch.key]
            if pairs:
                epochs, values = zip(*pairs)
                found.append(Seen(watch, phase.name, epochs, values))
    return found
