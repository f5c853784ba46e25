"""What a training brought: before and after of each network, and what is left of that once training is taken off."""

from __future__ import annotations

import streamlit as st

from pages.finetune import frames
from pages.ui import cards, measured, provenance
from pruning_core.runs.view import JobView
from pruning_core.studies.fine_tune import CONTROL, PRUNED, FineTuneRun

CHOICE_HELP = "Weights are chosen on images held out of the training part, never on these test images."


def table(results: tuple[frames.Brought, ...], view: JobView, spec: FineTuneRun) -> None:
    rows = [
        {
            "network": frames.NAMES[each.tag],
            "before": measured.text(each.before),
            "after": measured.text(each.after),
            "change": each.change.text,
            "epoch": each.epoch,
        }
        for each in results
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "network": "Network",
            "before": st.column_config.TextColumn(
                "Before (95 % interval)", help=f"{measured.measure(results[0].after.measure).title} on the test images."
            ),
            "after": st.column_config.TextColumn("After (95 % interval)", help=CHOICE_HELP),
            "change": st.column_config.TextColumn(
                "Change", help="With its 95 % interval; wider than of a comparison image by image."
            ),
            "epoch": st.column_config.NumberColumn("Kept from epoch", help="0: the weights from before training."),
        },
    )
    cards.source_line(
        provenance.measured(
            f"{spec.data.name} (test)", images=results[0].images, device=view.device.upper(), seed=spec.config.seed
        )
    )


def verdict(results: tuple[frames.Brought, ...], spec: FineTuneRun) -> None:
    found = frames.compared(results)
    if found is not None:
        gains = {each.tag: measured.difference(each.after.measure, each.gain) for each in results}
        st.markdown(
            f"**What pruning costs: {found.delta}** against the control, "
            f"{found.interval}, {found.verdict}. The pruned network's own gain of "
            f"{gains[PRUNED]} is not that number: the same training changed the control by "
            f"{gains[CONTROL]}."
        )
    elif results and results[0].tag == PRUNED:
        missing = "The control did not come to its first epoch." if spec.control else "No control was trained."
        st.caption(f"{missing} So nobody can say how much of the change any network gets from training longer.")
