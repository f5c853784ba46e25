"""What the two figures show, in words, for those who do not see them."""

from __future__ import annotations

from pages.finetune import frames
from pages.ui import measured
from pages.ui.language import _, said
from pruning_core.runs.events import Stage
from pruning_core.runs.view import JobView
from pruning_core.training.events import Step


def loss(view: JobView) -> str:
    step, stage = view.last(Step), view.last(Stage)
    if step is None:
        return _("Training loss over epochs; nothing is drawn yet ({text}).").format(
            text=said(stage.text) if stage else _("waiting")
        )
    return _("Training loss over epochs: {loss:.3f} nats after {position:.1f} epochs ({names}).").format(
        loss=step.loss, position=step.position, names=_(frames.NAMES[step.tag])
    )


def accuracy(view: JobView) -> str:
    told = [
        _("{names} from {value} to {value_2}").format(
            names=_(frames.NAMES[each.tag]), value=measured.value(each.before), value_2=measured.value(each.after)
        )
        for each in frames.brought(view.events)
    ]
    return _("Test values over epochs: {value}.").format(value="; ".join(told) or _("no epoch is finished yet"))
