"""The parts of the page, from top to bottom."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.taxonomy import charts, frames, registry
from pages.taxonomy.registry import Home
from pages.ui import cards, jobs, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.literal import code, literal
from pages.ui.registry import by_key
from pages.ui.widgets import knob_widgets
from pruning_core.graph import Network
from pruning_core.runs.view import JobView
from pruning_core.studies.points import Scored
from pruning_core.studies.scores import ScoresRun, read_scores
from pruning_core.taxonomy import Card

NODE, CHOSEN, ROOT = "taxonomy.node", "taxonomy.card", "All that runs"
DEFAULT_AXES = ["data", "time", "family"]
WIDE, NARROW = 3, 2


def picture(table: pd.DataFrame) -> pd.DataFrame:
    """The clickable picture; returns the rows below the chosen part."""
    axes = st.pills(
        "Axes, from left to right",
        list(frames.AXES),
        selection_mode="multi",
        default=DEFAULT_AXES,
        format_func=lambda axis: frames.AXES[axis],
        key="taxonomy.axes",
        persist_state="session",
        help="The order in which you switch them on is their order in the picture.",
        wrap=True,
    )
    axes = list(axes) or DEFAULT_AXES
    nodes = frames.tree(table, axes, ROOT)
    node = st.session_state.get(NODE)
    node = node if node in set(nodes["id"]) else None
    clicked = plots.pick(charts.icicle(nodes, selected=node), "taxonomy.picture", charts.NODES)
    if clicked is not None:
        found = clicked.get("id") or clicked.get("customdata")
        st.session_state[NODE] = None if found == node else found
        part = frames.members(table, axes, found)
        if len(part) == 1:
            st.session_state[CHOSEN] = part["key"].iloc[0]
        st.rerun()
    if node is not None and node != ROOT:
        text, button = st.columns([5, 1], vertical_alignment="center")
        text.markdown("Shown: " + " › ".join(f"**{part}**" for part in node.split(frames.SEPARATOR)[1:]))
        button.button("Show all", key="taxonomy.all", width="stretch", on_click=_show_all, wrap=True)
    return frames.members(table, axes, node)


def _show_all() -> None:
    st.session_state[NODE] = None


def lists(shown: pd.DataFrame) -> str | None:
    """Table and timeline; returns the key of the chosen card."""
    left, right = st.columns([WIDE, NARROW], gap="medium")
    with left:
        st.subheader("What runs")
        event = st.dataframe(
            shown[["name", "family", "data", "cost", "year", "url"]],
            hide_index=True,
            height=min(420, 38 + 35 * len(shown)),
            key="taxonomy.table",
            on_select="rerun",
            selection_mode="single-row",
            column_config={
                "name": st.column_config.TextColumn("Name", pinned=True),
                "family": "Family",
                "data": "Data needed",
                "cost": "Cost",
                "year": st.column_config.NumberColumn("Year", format="%d"),
                "url": st.column_config.LinkColumn("Paper", display_text="open"),
            },
        )
    with right:
        st.subheader("Years")
        families = list(dict.fromkeys(shown["family"]))
        figure = charts.timeline(shown, families=families, selected=st.session_state.get(CHOSEN))
        clicked = plots.pick(figure, "taxonomy.timeline", charts.PAPERS)
        undated = int(shown["year"].isna().sum())
        if undated:
            st.caption(f"{undated} without a paper of their own: common practice that several papers share.")
    rows = tuple(event["selection"]["rows"])
    if rows != st.session_state.get("taxonomy.rows"):
        st.session_state["taxonomy.rows"] = rows
        if rows and rows[0] < len(shown):
            st.session_state[CHOSEN] = shown["key"].iloc[rows[0]]
            st.rerun()
    if clicked is not None:
        st.session_state[CHOSEN] = clicked["customdata"]
        st.rerun()
    known = {each.key for each in registry.cards()}
    chosen = st.session_state.get(CHOSEN)
    return chosen if chosen in known else (shown["key"].iloc[0] if len(shown) else None)


def card(found: Card) -> None:
    """Everything the registry knows of one method."""
    with st.container(border=True):
        st.subheader(found.name)
        badges = (found.family, found.data, found.time, found.granularity, found.structure, found.execution)
        st.markdown(" ".join(f":gray-badge[{each}]" for each in badges))
        left, right = st.columns([WIDE, NARROW], gap="large")
        with left:
            st.markdown(found.idea)
            st.latex(found.formula)
            if found.paper is not None:
                paper = found.paper
                title = f"[{paper.title}]({paper.url})" if paper.url else paper.title
                st.markdown(f"{paper.authors}: {title}, {paper.venue} {paper.year}.")
        with right:
            st.markdown(f"**Cost:** {found.cost}")
            st.markdown(f"**When it fails:** {found.fails}")
        if found.published:
            st.dataframe(
                frames.published(found),
                hide_index=True,
                column_config={
                    "network": "Network",
                    "dataset": "Data",
                    "result": "Published result",
                    "source": "Source",
                    "read": "Read",
                },
            )
            marks = {
                each.verified: provenance.published(each.source, verified=each.verified) for each in found.published
            }
            cards.source_line(*marks.values())


def try_it(found: Card, desk: Desk) -> None:
    """Score one layer of the loaded network."""
    network = state.network(desk.model)
    st.subheader("Try it on this layer")
    if not network.groups:
        st.info("Nothing in the loaded network can be cut, so there is nothing to score. Load another network.")
        return
    left, right = st.columns([NARROW, WIDE], gap="large")
    with left:
        keys = [group.key for group in network.groups]
        layer = st.selectbox("Layer", keys, key="taxonomy.layer", persist_state="session")
        criterion = knob_widgets(by_key()[found.key], "taxonomy.knobs")
        run = ScoresRun(desk.model, desk.data, (criterion,))
        started = st.button(
            f"Score by {found.name}", type="primary", key="taxonomy.try", icon=":material/play_arrow:", wrap=True
        )
        known = state.jobs().find(run)
        if started:
            job = state.jobs().submit(run, state.owner())
        elif known is not None:
            job = known.id
        else:
            st.caption("Nothing is changed: the scores are shown, no channel is removed.")
            return
        view = jobs.watch(job, key="taxonomy.run")
    with right:
        _scores(view, found, network, layer)


def go_to(found: Card, where: Home) -> None:
    """What is no criterion is tried on the page made for it, already chosen there."""
    st.subheader("Try it")
    if st.button(
        f"Try it {where.label}", type="primary", key="taxonomy.go", icon=":material/arrow_forward:", wrap=True
    ):
        st.session_state.update({**where.besides, where.choice: found.key})
        st.switch_page(where.script)


def _scores(view: JobView, found: Card, network: Network, layer: str) -> None:
    scored = view.last(Scored)
    if scored is None:
        return
    if layer in scored.missing:
        st.info(f"{found.name} cannot judge {code(layer)}: {literal(scored.missing[layer])}")
        return
    values = read_scores(state.workspace(), scored.digest)[layer]
    frame = pd.DataFrame({"channel": range(len(values)), "score": values})
    plots.show(charts.scores(frame, title=found.name, layer=layer), "taxonomy.scores")
    on = provenance.measured(
        f"all {len(network.groups)} groups scored in {numbers.duration(scored.seconds)}",
        images=scored.images or None,
        device=scored.device,
    )
    cards.source_line(on)
