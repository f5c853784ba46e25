"""The heart: exact channel groups, their cost, their silencing and their removal."""

from pruning_core.graph.capturing.capture import capture
from pruning_core.graph.labelling.rules.custom import by_channel, pointwise, register_rule
from pruning_core.graph.network import Blocked, Cost, Group, LayerCost, Member, Network, Role
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.proof import Proof
from pruning_core.graph.removing.removal import Removal, remove
from pruning_core.graph.removing.silence import silenced_tensors
from pruning_core.graph.removing.silent import silence

__all__ = [
    "Blocked",
    "Cost",
    "Group",
    "LayerCost",
    "Member",
    "Network",
    "Plan",
    "Proof",
    "Removal",
    "Role",
    "by_channel",
    "capture",
    "pointwise",
    "register_rule",
    "remove",
    "silence",
    "silenced_tensors",
]
