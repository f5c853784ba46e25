"""What each ATen operator does to labels. An operator without a rule pins what it reads: never guess."""

from __future__ import annotations

from typing import Any

import torch

from pruning_core.graph.labelling.rules import arithmetic, moving, reducing
from pruning_core.graph.labelling.rules.call import Call, Rule, unknown
from pruning_core.graph.labelling.rules.custom import late

RULES: dict[str, Rule] = {**moving.RULES, **arithmetic.RULES, **reducing.RULES}


def rule_for(op: Any, name: str) -> Rule:
    known = _known(op, name)
    return known if op._schema.name.startswith("aten::") else late(known)


def _known(op: Any, name: str) -> Rule:
    if name in RULES:
        return RULES[name]
    if any(part in name for part in reducing.SPATIAL):
        return reducing.spatial
    if torch.Tag.pointwise in op.tags or name in arithmetic.UNTAGGED_POINTWISE:
        return arithmetic.elementwise
    if name.startswith("_foreach_") and name.removeprefix("_foreach_").rstrip("_") in arithmetic.MANY:
        return arithmetic.many
    return unknown


__all__ = ["RULES", "Call", "Rule", "rule_for"]
