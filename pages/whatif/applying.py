"""Cutting for real: the run, and what it measured."""

from __future__ import annotations

import streamlit as st

from pages.ui import cards, changes, jobs, latencies, links, measured, numbers, proofs, provenance, standing, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal, named
from pages.whatif import figures, outcome, plans
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1, Accuracy, Drop
from pruning_core.runs.view import JobView
from pruning_core.studies.pruned import Apart, Pruned

THOP = N_(
    "thop, the counter most papers use, also counts batch normalisation and pooling and knows only the layers it has a "
    "rule for; the closed form counts the multiply-accumulates of convolutions, linear layers and matrix products."
)


def section(network: Network, desk: Desk) -> None:
    st.header(_("Apply"), divider="gray")
    if not desk.plan:
        if desk.model.base is not None:
            _cut(desk)
            return
        st.info(
            _(
                "The plan removes nothing yet. Move a slider, use a budget, or take ratios over from the Sensitivity "
                "page."
            ),
            icon=":material/content_cut:",
        )
        return
    network.validate(desk.plan)
    spec = standing.application(desk)
    known = state.jobs().find(spec)
    if known is None:
        channels = sum(len(units) for units in desk.plan.values())
        st.markdown(
            _(
                "Removes {channels:,} channels from {n} of {n_2} groups, proves that the smaller network "
                "computes what the original computes with these channels silenced, and measures both on the "
                "test images of {name}."
            ).format(channels=channels, n=len(desk.plan), n_2=len(network.groups), name=named(desk.data.name))
        )
        if st.button(_("Apply the plan"), type="primary", key="whatif.apply", icon=":material/content_cut:", wrap=True):
            state.jobs().submit(spec, state.owner())
            st.rerun()
        return
    view = jobs.watch(known.id, key="whatif.job")
    found = view.last(Pruned)
    if found is not None:
        _result(found, view, desk)


def _cut(desk: Desk) -> None:
    """The smaller network is on the desk: what comes next, and what cutting it has cost."""
    made = standing.made(desk.model)
    tuned = made.trained
    st.success(
        _("{called} is on the desk ({made}). ").format(called=standing.called(desk.model), made=_(made))
        + (_("Download it") if tuned else _("Fine-tune it to make up for what it lost, or download it"))
        + _("; the sliders above would cut it further."),
        icon=":material/check:",
    )
    with st.container(horizontal=True):
        links.to_fine_tune(_("Fine-tune it further") if tuned else _("Fine-tune it"))
        links.to_download()
    if (known := standing.came_from(desk.model)) is not None:
        st.subheader(_("What the cut did"))
        _compared(known[1], known[0])


def _compared(found: Pruned, view: JobView) -> None:
    _proof(found)
    _measures(found, view)
    _counts(found)
    _layers(found)


def _result(found: Pruned, view: JobView, desk: Desk) -> None:
    _compared(found, view)
    st.markdown(_("Put the smaller network on the desk to fine-tune and download it; the sliders then cut it further."))
    recovered = found.recovered is not None and st.toggle(
        _("As it is after: {recovery}").format(recovery=said(found.recovered.recovery)),
        True,
        key="whatif.recovered",
        persist_state="session",
        help=_("Else as it was just cut, with every weight and statistic that is left as it was."),
        wrap=True,
    )
    if st.button(
        _("Work on the smaller network"), key="whatif.adopt", type="primary", icon=":material/arrow_forward:", wrap=True
    ):
        if state.choose_model(found.recovered.model if recovered and found.recovered else found.model):
            st.toast(_("The smaller network is on the desk."))
        st.rerun()


def _proof(found: Pruned) -> None:
    proofs.show(found.proof, _("test images"))
    for note in found.notes:
        st.caption(literal(said(note)))


def _apart(outputs: tuple[Apart, ...]) -> None:
    """One line on every output, such as the scales of a detector."""
    said = []
    for each in outputs:
        after = numbers.percent(each.after)
        shown = after if each.recovered is None else f"{after} → {numbers.percent(each.recovered)}"
        said.append(f"{named(each.name)} {shown}")
    st.markdown(
        _(
            "Output by output, distance from the original on {images:,} test images, as a share of its size (just cut, "
            "and after a recovery): {outputs}."
        ).format(images=outputs[0].images, outputs=", ".join(said))
    )


def _measures(found: Pruned, view: JobView) -> None:
    before, after, recovered = found.before.accuracy, found.after.accuracy, found.recovered
    source = outcome.source(view, after)
    shown: list[tuple[str, Accuracy, Drop | None]] = [
        (_("{what} before").format(what=said(measured.measure(before.measure).name)), before, None),
        (_("{what} after").format(what=said(measured.measure(after.measure).name)), after, found.drop),
    ]
    if recovered is not None:
        shown.append((said(recovered.recovery), recovered.accuracy, recovered.drop))
    places = cards.row(len(shown) + 2)
    for (name, accuracy, drop), place in zip(shown, places):
        cards.number(
            name,
            measured.value(accuracy),
            source,
            detail=measured.bounds(accuracy),
            help=measured.interval_help(accuracy.measure),
            change=changes.paired(drop) if drop else None,
            container=place,
        )
    first, second = found.before.latency, found.after.latency
    latencies.card(_("Latency before"), first, None, places[-2])
    latencies.card(_("Latency after"), second, first, places[-1])
    st.markdown(
        _("Paired change on the same {images:,} images: {change}").format(
            images=found.drop.images, change=_change(found.drop)
        )
    )
    if found.apart:
        _apart(found.apart)
    if recovered is not None:
        weights = _("weights refitted") if recovered.trained else _("no weight changed")
        st.markdown(
            _("{recovery} on {images:,} training-part images, {weights}, {duration}: {change}").format(
                recovery=said(recovered.recovery),
                images=recovered.images,
                weights=weights,
                duration=numbers.duration(recovered.seconds),
                change=_change(recovered.drop),
            )
        )
    if latencies.indistinct(first, second):
        st.caption(
            _(
                ":material/info: One median latency lies between the 10th and 90th percentile of the other: on this "
                "machine, as busy as it was, no difference can be told."
            )
        )


def _change(drop: Drop) -> str:
    found = changes.paired(drop)
    text = f"**{found.delta}** ({found.interval}), {found.verdict}"
    if not measured.measure(drop.measure).decides:
        return f"{text}; {measured.way(drop.measure)}."
    right, wrong = (_("right"), _("wrong")) if drop.measure == TOP1 else (_("decided alike"), _("otherwise"))
    return _("{text}; {lost} images were {right} before and are {wrong} after, {gained} the other way round.").format(
        text=text, lost=drop.lost, right=right, wrong=wrong, gained=drop.gained
    )


def _counts(found: Pruned) -> None:
    unit, factor = figures.compute_unit()
    before, after = found.before.cost, found.after.cost
    places = cards.row(4)
    for place, name, old, new, show in (
        (places[0], unit, factor * before.macs, factor * after.macs, numbers.count),
        (places[1], _("Parameters"), before.parameters, after.parameters, numbers.count),
        (places[2], _("Size"), before.size_bytes, after.size_bytes, numbers.size_bytes),
    ):
        change = numbers.percent(new / max(old, 1) - 1)
        cards.number(
            _("{what} after").format(what=_(name)),
            show(new),
            figures.COUNTED,
            detail=_("of {whole}").format(whole=show(old)),
            delta=change,
            delta_color="inverse",
            container=place,
        )
    first, second = found.before.thop_macs, found.after.thop_macs
    if not second or not first or first < before.macs / 2:  # a program has few layers that it knows, or none
        cards.pending(
            _("{unit} by thop").format(unit=unit),
            _("thop cannot count this network"),
            help=_(THOP),
            container=places[3],
        )
        return
    more = second / max(after.macs, 1) - 1
    cards.number(
        _("{unit} by thop").format(unit=unit),
        numbers.count(factor * second),
        provenance.derived(_("counted by the thop package on the smaller network")),
        detail=_("{more:+.1f} %, of {count}").format(more=100 * more, count=numbers.count(factor * first)),
        help=_(THOP),
        container=places[3],
    )
    st.caption(_(THOP))


def _layers(found: Pruned) -> None:
    frame = plans.difference(found.layers)
    changed = int(frame["changed"].sum())
    with st.expander(
        _("{changed} of {n} layers changed: before and after").format(changed=changed, n=len(frame)),
        icon=":material/difference:",
    ):
        every = st.toggle(
            _("Show the unchanged layers too"), False, key="whatif.unchanged", persist_state="session", wrap=True
        )
        shown = (frame if every else frame[frame["changed"]]).drop(columns="changed")
        counts = {
            "macs_before": _("MACs before"),
            "macs_after": _("MACs after"),
            "parameters_before": _("Parameters before"),
            "parameters_after": _("Parameters after"),
        }
        shapes = {
            "input_before": _("Input before"),
            "input_after": _("Input after"),
            "output_before": _("Output before"),
            "output_after": _("Output after"),
        }
        st.dataframe(
            shown,
            hide_index=True,
            height=min(600, 38 + 35 * max(1, len(shown))),
            column_config={
                "layer": st.column_config.TextColumn(_("Layer"), pinned=True),
                "kind": _("Kind"),
                **shapes,
                **{name: st.column_config.NumberColumn(title, format="localized") for name, title in counts.items()},
            },
        )
        cards.source_line(figures.COUNTED)
