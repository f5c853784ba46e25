"""Numbers per layer for Model Explorer, Google's viewer of networks: a node-data file beside an exported program."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch.export import ExportedProgram

from pruning_core.graph import Network, Role

GRAPH = "graph"  # what its reader of .pt2 files calls the one graph in them
COLOURS = ({"stop": 0, "bgColor": "#e8f1ff"}, {"stop": 1, "bgColor": "#d9480f"})


def node_data(program: ExportedProgram, network: Network, values: Mapping[str, float]) -> str:
    """JSON: for every operator of ``program`` that makes channels of a group, the group's number in ``values``.

    ``program`` is ``network`` as torch.export writes it; operators are named as in that very file, so the two are
    opened together. The form is Model Explorer's ``ModelNodeData``: results by node id, and a gradient.
    """
    makers = {m.parameter: group.key for group in network.groups for m in group.members if m.role is Role.PRODUCER}
    names = dict(program.graph_signature.inputs_to_parameters)
    results: dict[str, dict[str, float]] = {}
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        for read in node.all_input_nodes:
            key = makers.get(names.get(read.name, ""))
            if key is not None and key in values:
                results[node.name] = {"value": values[key]}
    return json.dumps({GRAPH: {"results": results, "gradient": list(COLOURS)}}, indent=1, allow_nan=False)
