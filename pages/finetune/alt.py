"""What the two figures show, in words, for those who do not see them."""

from __future__ import annotations

from pages.finetune import frames
from pages.ui import measured
from pruning_core.runs.events import Stage
from pruning_core.runs.view import JobView
from pruning_core.training.events import Step


def loss(view: JobView) -> str:
    step, stage = view.last(Step), view.last(Stage)
    if step is None:
        return f"Training loss over epochs; nothing is drawn yet ({stage.text if stage else 'waiting'})."
    return (
        f"Training loss over epochs: {step.loss:.3f} nats after {step.position:.1f} epochs ({frames.NAMES[step.tag]})."
    )


def accuracy(view: JobView) -> str:
    said = [
        f"{frames.NAMES[each.tag]} from {measured.value(each.before)} to {measured.value(each.after)}"
        for each in frames.brought(view.events)
    ]
    return f"Test accuracy over epochs: {'; '.join(said) or 'no epoch is finished yet'}."
