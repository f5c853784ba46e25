"""What a training brought: before and after of each network, and what is left of that once training is taken off."""

from __future__ import annotations

import streamlit as st

from pages.finetune import frames
from pages.ui import cards, measured, provenance
from pages.ui.language import N_, _, said
from pruning_core.runs.view import JobView
from pruning_core.studies.fine_tune import CONTROL, PRUNED, FineTuneRun

NETWORK_PX = 130  # both names whole, also on a narrow screen
CHOICE_HELP = N_("Weights are chosen on images held out of the training part, never on these test images.")


def table(results: tuple[frames.Brought, ...], view: JobView, spec: FineTuneRun) -> None:
    rows = [
        {
            "network": _(frames.NAMES[each.tag]),
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
            "network": st.column_config.TextColumn(_("Network"), width=NETWORK_PX),
            "before": st.column_config.TextColumn(
                _("Before (95 % interval)"),
                help=_("{title} on the test images.").format(
                    title=said(measured.measure(results[0].after.measure).title)
                ),
            ),
            "after": st.column_config.TextColumn(_("After (95 % interval)"), help=_(CHOICE_HELP)),
            "change": st.column_config.TextColumn(
                _("Change"), help=_("With its 95 % interval; wider than of a comparison image by image.")
            ),
            "epoch": st.column_config.NumberColumn(
                _("Kept from epoch"), help=_("0: the weights from before training.")
            ),
        },
    )
    cards.source_line(
        provenance.measured(
            _("{name}, test images").format(name=spec.data.name),
            images=results[0].images,
            device=view.device.upper(),
            seed=spec.config.seed,
        )
    )


def verdict(results: tuple[frames.Brought, ...], spec: FineTuneRun) -> None:
    found = frames.compared(results)
    if found is not None:
        gains = {each.tag: measured.difference(each.after.measure, each.gain) for each in results}
        st.markdown(
            _(
                "**What pruning costs: {delta}** against the control, {interval}, {verdict}. The pruned "
                "network's own gain of {gains} is not that number: the same training changed the control by "
                "{gains_2}."
            ).format(
                delta=found.delta,
                interval=found.interval,
                verdict=found.verdict,
                gains=gains[PRUNED],
                gains_2=gains[CONTROL],
            )
        )
    elif results and results[0].tag == PRUNED:
        missing = _("The control did not come to its first epoch.") if spec.control else _("No control was trained.")
        st.caption(
            _("{missing} So nobody can say how much of the change any network gets from training longer.").format(
                missing=missing
            )
        )
