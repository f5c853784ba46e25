"""One channel of each cluster stays: what that costs, and what it does to what is measured."""

from __future__ import annotations

import streamlit as st

from pages.similarity.clusters import Clusters
from pages.ui import cards, changes, history, jobs, links, measured, numbers, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal, named
from pages.ui.sweeps import judged_on
from pruning_core.analysis.similarity import REPRESENTATIVES, all_but_one
from pruning_core.errors import UserError, clip
from pruning_core.graph import Network, Plan
from pruning_core.runs.view import State
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned

COUNTED = provenance.derived(N_("counted in the captured network, exactly."))


def section(desk: Desk, network: Network, found: Clusters) -> None:
    st.subheader(_("Keep one of each cluster"))
    by_name = {each.name: each for each in REPRESENTATIVES}
    chosen = st.segmented_control(
        _("What stands for a cluster"),
        list(by_name),
        format_func=said,
        default=next(iter(by_name)),
        required=True,
        key="similarity.keep",
        wrap=True,
    )
    dropped = all_but_one(found.points, found.tree.distances, found.labels, by_name[chosen])
    key = found.group.key
    if not dropped:
        st.info(_("Every channel is a cluster of its own at this cut, so nothing would go. Raise the cut."))
        return
    plan = Plan({key: dropped})
    before, after = network.cost(), network.cost(plan)
    places = cards.row(4)
    cards.number(
        _("Ratio of this layer"), numbers.percent(len(dropped) / found.group.size), COUNTED,
        detail=_("{n} of {size} go").format(n=len(dropped), size=found.group.size), container=places[0],
    )  # fmt: skip
    cards.number(
        _("MACs"), numbers.count(after.macs), COUNTED, delta=f"{100 * (after.macs / before.macs - 1):.1f} %",
        delta_color="inverse", container=places[1],
    )  # fmt: skip
    cards.number(
        _("Parameters"), numbers.count(after.parameters), COUNTED,
        delta=f"{100 * (after.parameters / before.parameters - 1):.1f} %", delta_color="inverse", container=places[2],
    )  # fmt: skip
    run = PruneRun(
        desk.model, judged_on(desk.data), plan.to_json()
    )  # a cut is a choice, and test images choose nothing
    known = state.jobs().find(run)
    if known is not None and known.state is State.DONE:
        _accuracy(known.last(Pruned), places[3])
    else:
        cards.pending(said(_judged(desk)), _("not measured at this cut yet"), container=places[3])
    first, second, third = st.columns(3)
    if known is None and first.button(_("Measure it"), key="similarity.measure", width="stretch", wrap=True):
        state.jobs().submit(run, state.owner())
        st.rerun()
    second.button(
        _("Add to the plan"), type="primary", key="similarity.add", width="stretch", on_click=history.add,
        args=(found.group, dropped),
        help=_("The plan then removes these channels of {key} too; what it removes already stays "
"removed.").format(key=named(key)),
        wrap=True,
    )  # fmt: skip
    if known is not None and known.state is not State.DONE:
        jobs.watch(known.id, key="similarity.run")
    if set(dropped) <= set(state.desk().plan.get(key, ())):
        with third:
            links.to_what_if()
    if not found.group.exact:
        st.caption(
            _(":orange-badge[approximate] {reason}.").format(reason=literal(clip(said(found.group.reason), 400)))
        )


def _judged(desk: Desk) -> str:
    try:
        return said(measured.of_desk(desk).title)
    except UserError:  # the run says why
        return N_("Top-1 accuracy")


def _accuracy(found: Pruned | None, place: st.delta_generator.DeltaGenerator) -> None:
    if found is None:
        return
    after, drop = found.after.accuracy, found.drop
    cards.number(
        said(measured.measure(after.measure).title),
        measured.value(after),
        provenance.measured(after.dataset, images=after.images),
        change=changes.paired(drop),
        detail=changes.paired(drop).interval,
        container=place,
    )
