"""A desk with a pruned network on it, made by the core as What-if would make it."""

from pages.ui.desk import Desk, first_desk, remember
from pruning_core.graph import Plan
from pruning_core.storage import Workspace
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import captured
from pruning_core.zoo import load_model


def pruned_desk(workspace: Workspace, owner: str, share: float = 0.25, *, renewed: bool = False) -> Desk:
    """The digits ResNet without the first `share` of every group's channels, written down for `owner`.

    `renewed`: with batch-norm statistics of its own.
    """
    first = first_desk()
    network = captured(load_model(first.model, workspace))
    plan = Plan({group.key: range(int(group.size * share)) for group in network.groups})
    *_, last = (e for e in PruneRun(first.model, first.data, plan.to_json()).run(workspace) if isinstance(e, Pruned))
    desk = first.with_model(last.recovered.model if renewed else last.model, first.data)
    remember(workspace, owner, desk)
    return desk
