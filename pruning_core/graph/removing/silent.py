"""The silenced network as a network of its own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.copies import aliased, copied
from pruning_core.graph.modules import named_tensors, renew, turns_in_its_own_way
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.program import build_program
from pruning_core.graph.removing.silence import silenced_tensors
from pruning_core.graph.removing.stand_ins import StandIns
from pruning_core.graph.removing.subject import Subject, Way


def silence(model: nn.Module, network: Network, plan: Plan, instead: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A copy of the model, of the same shapes, with the plan's units silenced; the caller's model is untouched.

    ``instead`` stand in place of the model's own tensors of these names.

    Where code holds on to the original object, a copy would run what is not silenced: its recorded evaluation is given
    back instead, with the silenced tensors. Raises UserError when that cannot be recorded either.
    """
    changed = silenced_tensors(model, network, plan, instead)
    new = holding(model, changed)
    if not reaches_back(new, model, network):
        return new
    try:
        return build_program(model, network, Plan(), network.example, changed)
    except Exception as error:  # an operator without a rule, or the network's own code
        raise UserError(
            "Code of this network holds on to the very object that was given, so that no copy of it can be silenced. "
            "Have it use its own attributes, and no names from outside."
        ) from error


def holding(model: nn.Module, changed: Mapping[str, Tensor], *, lent: bool = False) -> nn.Module:
    """A copy with other tensors of these names; what it keeps of the tensors before is made anew.

    ``lent``: it is to be run only, and may lie in the memory of the model.
    """
    tensors = named_tensors(model)
    exchanged = {id(tensors[name]): _in_place_of(tensors[name], value) for name, value in changed.items()}
    if lent and not turns_in_its_own_way(model):
        return aliased(model, exchanged)
    new = copied(model, exchanged)
    renew(new)
    return new


def _in_place_of(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new


def reaches_back(copy: nn.Module, original: nn.Module, network: Network) -> bool:
    """Whether a copy reads tensors of the original when it runs."""
    subject = Subject(copy, StandIns(), foreign=named_tensors(original))
    try:
        subject.run(network.example, Way(hollow=True))
    except NeedsValues:
        subject.run(network.example, Way())
    return bool(subject.seen.foreign)
