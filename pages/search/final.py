"""What is known once a search has ended: the winners on unseen images, and all trials as a table."""

from __future__ import annotations

import streamlit as st

from pages.search import frames
from pages.ui import cards, changes, measured, outbox, provenance
from pages.ui.language import _
from pages.ui.spreadsheet import csv_bytes
from pruning_core.errors import clip
from pruning_core.graph import Network
from pruning_core.measuring.measures import Drop
from pruning_core.runs.view import JobView
from pruning_core.studies.search import SearchRun


def show(view: JobView, spec: SearchRun) -> None:
    """The test images decide what the held-out images have chosen."""
    found = frames.finalists(view)
    if not found:
        return
    st.subheader(_("The best, on images that nobody chose by"))
    rows = [
        {
            "network": frames.name_of(each.by),
            "trial": str(each.number) if each.drop is not None else "–",
            "top1": measured.text(each.accuracy),
            "lost": _change(each.drop),
        }
        for each in found.values()
    ]
    first = next(iter(found.values())).accuracy
    st.dataframe(
        rows,
        hide_index=True,
        key="search.finalists",
        column_config={
            "network": _("Network"),
            "trial": _("Trial"),
            "top1": st.column_config.TextColumn(
                _("Test {named_in} (95 % interval)").format(named_in=measured.named_in(first.measure))
            ),
            "lost": st.column_config.TextColumn(
                _("Against the unpruned network"), help=_("Paired, on the same images.")
            ),
        },
    )
    own = found.get(spec.explorers[0])
    if own is not None and own.behind is not None:
        behind, rival = changes.paired(own.behind), frames.name_of(spec.explorers[-1])
        st.markdown(
            _(
                "**{name_of} against {rival}: {delta}** ({interval}), {verdict}. Both made as many networks "
                "under the same budget."
            ).format(
                name_of=frames.name_of(own.by),
                rival=rival,
                delta=behind.delta,
                interval=behind.interval,
                verdict=behind.verdict,
            )
        )
    cards.source_line(provenance.measured(first.dataset, images=first.images, device=view.device.upper()))


def _change(drop: Drop | None) -> str:
    return "–" if drop is None else changes.paired(drop).text


def table(view: JobView, spec: SearchRun, network: Network) -> None:
    found = frames.trials(view)
    if view.active or not found:
        return
    frame = frames.spreadsheet(found, network)
    with st.expander(_("All {n} trials as a table").format(n=len(frame)), icon=":material/table:"):
        judged = frames.measure_of(found.values())
        values = {"top1": measured.axis_title(judged), "low": _("from"), "high": _("to")}
        written = "percent" if measured.measure(judged).unit == "share" else "%.4g"
        columns = {group.key: f"group {at}" for at, group in enumerate(network.groups)}  # a key may be of any length
        st.dataframe(
            frame.rename(columns=columns),
            hide_index=True,
            height=min(420, 38 + 35 * len(frame)),
            key="search.table",
            column_config={
                "name": st.column_config.TextColumn(_("Search"), pinned=True),
                "number": _("Trial"),
                **{name: st.column_config.NumberColumn(title, format=written) for name, title in values.items()},
                "share": st.column_config.NumberColumn(_("MACs left"), format="percent"),
                "macs": st.column_config.NumberColumn(_("MACs"), format="localized"),
                "parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
                "latency_ms": st.column_config.NumberColumn(_("Latency"), format="%.3g ms"),
                "compiled_ms": st.column_config.NumberColumn(_("Latency, compiled"), format="%.3g ms"),
                "within": _("Within the budget"),
                "front": _("On the front"),
                "seconds": st.column_config.NumberColumn(_("Seconds"), format="%.2f"),
                **{
                    place: st.column_config.NumberColumn(_("{key} removed").format(key=clip(key)), format="percent")
                    for key, place in columns.items()
                },
            },
        )
    name = f"search_{spec.model.name}_{spec.search.explorer.card.key}.csv"
    outbox.button(
        outbox.stored(csv_bytes(frame), name, "text/csv"),
        key="search.csv",
        label=_("Download the {n} trials (CSV)").format(n=len(frame)),
    )
