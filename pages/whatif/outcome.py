"""Where the numbers of an applied plan come from."""

from __future__ import annotations

from pages.ui import measured, provenance
from pages.ui.language import _, said
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import JobView


def source(view: JobView, accuracy: Accuracy) -> provenance.Provenance:
    return provenance.measured(
        accuracy.dataset, images=accuracy.images, device=view.device.upper(), note=what(accuracy)
    )


def what(accuracy: Accuracy) -> str:
    """What the number is, as a sentence."""
    says = said(measured.measure(accuracy.measure).says)
    return _("Without fine-tuning: {says}; {way}.").format(says=says, way=measured.way(accuracy.measure))
