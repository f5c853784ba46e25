"""Tables of Distiller and NNI, in the forms that those tools write, mapped to groups; and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.by_sensitivity import BySensitivity
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.tables import DISTILLER, LARGEST, NNI, read_table
from pruning_core.errors import UserError
from pruning_core.export.node_data import node_data
from pruning_core.export.traced import trace
from tests.core.allocation_nets import Residual, random_scores, residual_network

LONG = """parameter,sparsity,top1,top5,loss
module.stem.weight,0.0,80.0,99.0,0.5
module.stem.weight,0.5,70.0,95.0,0.9
a1.weight,0.0,80.0,99.0,0.5
a1.weight,0.5,79.0,99.0,0.51
a2.weight,0.5,60.0,90.0,1.5
head.weight,0.5,40.0,80.0,2.0
"""
WIDE = """layername,0.25,0.5,0.75
a1,0.79,0.70
b1,0.80,0.78,0.60
"""


def test_distillers_file_is_read_and_layers_that_share_channels_count_with_the_larger_drop():
    """a2 writes into the stem's stream: one group, whose drop at a half is the 20 points of a2."""
    found = read_table(LONG, residual_network())
    assert (found.source, found.layers, found.whole, found.baseline) == (DISTILLER, 3, ("head.weight",), 0.8)
    assert dict(found.table) == {"stem": ((0.5, pytest.approx(0.2)),), "a1": ((0.5, pytest.approx(0.01)),)}


def test_nnis_file_needs_the_accuracy_that_it_leaves_out_and_lines_may_end_early():
    with pytest.raises(UserError, match="does not say how accurate the unpruned network is"):
        read_table(WIDE, residual_network())
    found = read_table(WIDE, residual_network(), baseline=0.8)
    assert found.source == NNI and found.layers == 2 and not found.whole
    table = dict(found.table)
    assert [ratio for ratio, _ in table["a1"]] == [0.25, 0.5] and table["b1"][-1] == (0.75, pytest.approx(0.2))
    percent = WIDE.replace("0.79", "79").replace("0.70", "70").replace("0.80", "80").replace("0.78", "78")
    assert read_table(percent.replace("0.60", "60"), residual_network(), baseline=80).table == tuple(
        (key, tuple((ratio, pytest.approx(drop)) for ratio, drop in curve)) for key, curve in found.table
    )


def test_dictionaries_of_both_are_read_as_json():
    nni = {"a1": {"0.25": 0.79, "0.5": 0.7}, "b1": {"0.5": 0.78}}
    assert read_table(json.dumps(nni), residual_network(), baseline=0.8).source == NNI
    distiller = {"a1.weight": {"0.0": [80.0, 99.0, 0.5], "0.5": [79.0, 99.0, 0.51]}}
    found = read_table(json.dumps(distiller), residual_network())
    assert found.source == DISTILLER and dict(found.table)["a1"][0] == (0.5, pytest.approx(0.01))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no sensitivity table"),
        ("", "no sensitivity table"),
        ("parameter,sparsity,top1,top5,loss\n", "holds no layer"),
        (LONG + "conv9.weight,0.5,1,1,1\nconv8.weight,0.5,1,1,1\n", "2 of the 6 layers .*: conv9.weight, conv8.weight"),
        ("parameter,sparsity,top1\nhead.weight,0.0,80\nhead.weight,0.5,60\n", "makes channels that can be cut"),
        (LONG.replace("0.5,70.0", "0.5,seventy"), "'seventy' where a number"),
        (LONG.replace("0.5,70.0", "1.5,70.0"), r"must lie in \[0, 1\)"),
        (LONG.replace("70.0", "700"), "no accuracies"),
        (LONG.replace("70.0", "nan"), "where a number"),
        ("parameter,sparsity,top1\na1.weight,0.5\n", "too short"),
        ('{"a1": 3}', "no accuracies by sparsity"),
        ("{" * 100_000, "no JSON"),
        ('{"a1": {"0.5": {}}}', "where a number"),
        ("x" * (LARGEST + 1), "larger"),
    ],
)
def test_what_is_no_table_of_this_network_is_refused_in_a_sentence(text, words):
    with pytest.raises(UserError, match=words):
        read_table(text, residual_network())


def test_a_table_that_was_read_shares_out_a_budget():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    plan = allocate(BySensitivity(read_table(LONG, network).table), pool, Budget("macs", 0.8)).plan
    assert network.cost(plan).macs <= 0.8 * network.cost().macs
    assert network.ratio(plan, "a1") > network.ratio(plan, "stem") and "b1" not in plan, "what is not in it stays"


def test_node_data_names_the_operators_of_the_exported_file():
    program = trace(Residual(), torch.randn(1, 1, 8, 8)).program
    found = json.loads(node_data(program, residual_network(), {"stem": 0.2, "a1": 0.01}))["graph"]
    nodes = {node.name: node for node in program.graph.nodes}
    weights = dict(program.graph_signature.inputs_to_parameters)
    names = {name: [weights.get(each.name, "") for each in nodes[name].all_input_nodes] for name in found["results"]}
    read = {name: next(each for each in given if each.endswith("weight")) for name, given in names.items()}
    values = {read[name]: each["value"] for name, each in found["results"].items()}
    assert values == {"stem.weight": 0.2, "a2.weight": 0.2, "b2.weight": 0.2, "a1.weight": 0.01}
    assert [each["stop"] for each in found["gradient"]] == [0, 1]
