"""Cut here, these must follow: the graph, the list, and one channel seen from both sides."""

from __future__ import annotations

import streamlit as st
from torch import Tensor

from pages.coupling import charts, graph
from pages.ui import cards, numbers, plots, provenance, state
from pages.ui.filters import tensors
from pages.ui.language import N_, _, said
from pages.ui.literal import code, literal, named
from pruning_core.apart import household
from pruning_core.errors import clip
from pruning_core.graph import Group, Network, Plan
from pruning_core.replay.flow import Flow
from pruning_core.zoo import LoadedModel, ModelRef

LAYER, NEXT = "coupling.layer", "coupling.next"
COUNTED = provenance.derived(N_("counted in the captured network, exactly."))
LISTED = 8  # layers named before "and so many more"
GRAPH_PX, FOLLOW_PX = 560, 410  # side by side on a usual screen; on a narrow one the list goes below
NOT_SEEN = N_(
    "How this network adds branches was not seen while it ran, so the arrows follow its groups alone: a layer whose "
    "channels are added to another's has no arrow of its own."
)


def show(model: ModelRef, loaded: LoadedModel, network: Network) -> None:
    layers = [layer for group in network.groups for layer in graph.makers(group)]
    if NEXT in st.session_state:  # a click: before the widget is drawn, which would refuse it afterwards
        st.session_state[LAYER] = st.session_state.pop(NEXT)
    st.session_state.setdefault(LAYER, layers[0])
    cut = st.selectbox(_("Cut a filter of"), layers, key=LAYER, persist_state="session") or layers[0]
    group = graph.made_by(network, cut)
    assert group is not None
    with st.container(horizontal=True, gap="small"):
        left, right = st.container(width=GRAPH_PX), st.container(width=FOLLOW_PX)
    with left:
        found = _flow(model.to_json(), str(state.workspace().root))
        picture = graph.picture(found or graph.by_groups(network), group)
        figure = charts.graph(
            picture, key=group.key, cut=cut, makers=set(graph.makers(group)), readers=set(graph.readers(group))
        )
        clicked = plots.pick(figure, "coupling.graph", charts.LAYERS)
        told = [_("Click a layer to cut there.")]
        if any(node.sign for node in picture.nodes):
            told.append(
                _("A circle with a sign is where branches meet; a curve leads past layers, as a shortcut does.")
            )
        if found is None:
            told.append(_(NOT_SEEN))
        if sum(not node.sign for node in picture.nodes) < len({*layers}):
            told.append(_("Of this large network only the layers that are touched are drawn."))
        st.caption(" ".join(told))
        if clicked is not None and clicked.get("customdata") in layers:
            st.session_state[NEXT] = clicked["customdata"]
            st.rerun()
    with right:
        _follow(network, group, cut)
    _both_sides(loaded, group, cut)


@st.cache_resource(show_spinner=False, max_entries=6)
def _flow(model: str, root: str) -> Flow | None:
    """None where it is not known: the network runs in a process of its own, or takes a way that depends on images."""
    ref = ModelRef.from_json(model)
    return None if household.far(ref, state.workspace()) else graph.seen(state.loaded(ref).model, state.network(ref))


def _follow(network: Network, group: Group, cut: str) -> None:
    others = tuple(layer for layer in graph.makers(group) if layer != cut)
    st.markdown(_("A filter of {cut} goes. Then these must follow:").format(cut=code(cut)))
    st.markdown(
        _("**The same filter of** {layers}").format(layers=_named(others))
        if others
        else _("**No other layer** makes these channels.")
    )
    if others:
        st.caption(
            _("What these layers make is added position by position, so they must agree which channels there are.")
        )
    if between := graph.carriers(group):
        st.markdown(_("**One entry of** {between}").format(between=_named(between)))
        st.caption(_("Norms and the like have a number for each channel."))
    st.markdown(_("**One input of** {group}").format(group=_named(graph.readers(group))))
    st.caption(_("Whoever reads the channel has weights for it, which read nothing any more."))
    whole, less = network.cost(), network.cost(Plan({group.key: [0]})) if group.size > 1 else network.cost()
    first, second = cards.pair(350)
    cards.number(
        _("Parameters"), numbers.count(whole.parameters - less.parameters), COUNTED, detail=_("for each channel"),
        container=first,
    )  # fmt: skip
    cards.number(
        _("MACs"), numbers.count(whole.macs - less.macs), COUNTED, detail=_("for each channel"), container=second
    )
    if group.exact:
        st.caption(
            _(":green-badge[exact] The smaller network computes what the whole one does with these channels silent.")
        )
    else:
        st.caption(_(":orange-badge[approximate] {reason}.").format(reason=literal(clip(said(group.reason), 300))))


def _named(layers: tuple[str, ...]) -> str:
    more = " " + _("and {n} more").format(n=len(layers) - LISTED) if len(layers) > LISTED else ""
    return ", ".join(code(layer) for layer in layers[:LISTED]) + more


def _both_sides(loaded: LoadedModel, group: Group, cut: str) -> None:
    st.subheader(_("Filter or channel? One cut from two sides"))
    known = tensors(loaded.model)
    maker = next(m for m in group.producers if m.layer == cut)
    reader = next((m for m in group.consumers if known[m.parameter].dim() > 1), None)
    if reader is None or known[maker.parameter].dim() < 2 or maker.dim != 0 or reader.dim != 1:
        st.caption(
            _("The weights of these layers are not laid out as filters and inputs, so there is no such picture.")
        )
        return
    channel = int(st.slider(_("Channel"), 0, group.size - 1, 0, key="coupling.channel")) if group.size > 1 else 0
    first, second = st.columns(2, gap="large")
    with first:
        st.markdown(_("**Filter pruning:** a row of {cut}").format(cut=named(cut)))
        _matrix(known[maker.parameter], cut, int(maker.index[channel][0]), rows=True)
    with second:
        st.markdown(_("**Channel pruning:** a column of {layer}").format(layer=named(reader.layer)))
        _matrix(known[reader.parameter], reader.layer, int(reader.index[channel][0]), rows=False)
    st.caption(
        _(
            "The same channel is made by the row and read by the column. Papers that say filter "
            "look at the row, papers that say channel at the column; what goes is both. Colour: "
            "the norm of each kernel."
        )
    )
    cards.source_line(provenance.derived(_("from the weights of the loaded network")))


def _matrix(weight: Tensor, layer: str, channel: int, *, rows: bool) -> None:
    plots.show(charts.weight(weight, layer=layer, channel=channel, rows=rows), f"coupling.weight.{rows}")
