"""What the page shows of a network, as tables. No streamlit, no plotly."""

from __future__ import annotations

import pandas as pd

from pruning_core.graph import Group, Network, Plan, Role

RANK = {Role.PRODUCER: 0, Role.CONSUMER: 1, Role.CARRIER: 2}


def layer_table(network: Network, plan: Plan | None = None) -> pd.DataFrame:
    """One row per layer in the order of execution: name, kind, shapes, parameters, MACs and their shares."""
    rows = network.layer_costs(plan)
    frame = pd.DataFrame(
        {
            "layer": [row.name or "(network)" for row in rows],
            "kind": [row.kind for row in rows],
            "input": [_shape(row.shape_in) for row in rows],
            "output": [_shape(row.shape_out) for row in rows],
            "parameters": [row.parameters for row in rows],
            "macs": [row.macs for row in rows],
        }
    )
    frame["share_of_parameters"] = frame["parameters"] / max(1, frame["parameters"].sum())
    frame["share_of_macs"] = frame["macs"] / max(1, frame["macs"].sum())
    return frame


def links(network: Network) -> pd.DataFrame:
    """One row per group and layer: `group`, `channels`, `exact`, `layer`, `role`.

    A layer that both makes and reads the same channels, as some recurrent ones do, has two rows. Normalisations and
    biases follow their layer without saying anything new, so they are left out; a carrier with a weight of its own
    that is no normalisation, such as a depthwise convolution, stays.
    """
    kinds = {row.name: row.kind for row in network.layer_costs()}
    rows = [
        (group.key, group.size, group.exact, member.layer, member.role.value)
        for group in network.groups
        for member in sorted(group.members, key=lambda member: RANK[member.role])
        if member.role is not Role.CARRIER or _speaks(member.parameter, kinds.get(member.layer, ""))
    ]
    frame = pd.DataFrame(rows, columns=["group", "channels", "exact", "layer", "role"]).drop_duplicates()
    both = frame.duplicated(["group", "layer"]) & (frame["role"] == Role.CARRIER.value)
    return frame[~both].reset_index(drop=True)


def coupled_layers(network: Network) -> list[str]:
    """The rows of the coupling map: layers that are in a group or blocked, in the order of execution."""
    named = {*links(network)["layer"], *blocked(network)["layer"]}
    ordered = [row.name for row in network.layer_costs() if row.name in named]
    return [*ordered, *sorted(named - set(ordered))]


def blocked(network: Network) -> pd.DataFrame:
    """What cannot be cut: `layer`, `parameter`, `dimension`, `entries`, `operator`, `reason`."""
    rows = [
        (each.parameter.rpartition(".")[0], each.parameter, each.dim, each.entries, each.operator, each.reason)
        for each in network.blocked
    ]
    return pd.DataFrame(rows, columns=["layer", "parameter", "dimension", "entries", "operator", "reason"])


def members(group: Group) -> pd.DataFrame:
    """Everything that is cut with the group, by layer: `layer`, `role`, `parameter`, `entries_per_channel`."""
    rows = [(each.layer, each.role.value, each.parameter, each.index.shape[1]) for each in group.members]
    return pd.DataFrame(rows, columns=["layer", "role", "parameter", "entries_per_channel"])


def _speaks(parameter: str, kind: str) -> bool:
    return parameter.endswith("weight") and "Norm" not in kind


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
