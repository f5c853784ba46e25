"""The removal that a pruned network stands for, seen from the network it began with. No streamlit here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, Removal, capture, remove
from pruning_core.graph.removing.repeat import repeated
from pruning_core.zoo import LoadedModel, ModelRef


@dataclass(frozen=True, eq=False)
class Cut:
    """``base`` is the network before, ``small`` the one on the desk; ``tuned`` says that its numbers changed after.

    ``trained``: that weights did, not only batch-norm statistics.

    ``plan`` takes the one to the other. Where several removals followed each other it is all of them together, unless
    they cannot be told as one; then ``base`` is the network before the last, and ``steps`` is above 1.
    """

    base: LoadedModel
    small: LoadedModel
    network: Network
    plan: Plan
    removal: Removal
    tuned: bool
    trained: bool
    steps: int = 1

    def as_program(self) -> Removal:
        """The removal as its recorded operators, for a network without code. Raises UserError where that fails."""
        if self.removal.form == "program":
            return self.removal
        try:
            made = repeated(self.base.model, self.network, self.plan, form="program", bold=self.removal.bold)
            made.load_state_dict(self.removal.model.state_dict(), strict=False)  # with what was mended
        except Exception as error:  # recording runs the network's own operators at new sizes: they raise anything
            raise UserError(
                "No script can be written for this network: no code builds it, and its operators cannot be written "
                "down. Take the exported program instead."
            ) from error
        return replace(self.removal, form="program", model=made)


def cut_of(small: LoadedModel, load: Callable[[ModelRef], LoadedModel]) -> Cut:
    """``load`` gives the networks it was cut from. Raises UserError when they cannot be had any more."""
    refs = [small.ref]
    while (before := refs[-1].base) is not None and refs[-1].source == "pruned":
        refs.append(before)
    refs.reverse()
    if len(refs) > 2:
        together = _together(small, refs, load)
        if together is not None:
            return together
    return _cut(load(refs[-2]), small, Plan.from_json(small.ref.plan), len(refs) - 1)


def _together(small: LoadedModel, refs: Sequence[ModelRef], load: Callable[[ModelRef], LoadedModel]) -> Cut | None:
    origin = load(refs[0])
    sizes = {group.key: group.size for group in _captured(origin).groups}
    try:
        plan = reduce(lambda first, ref: first.then(Plan.from_json(ref.plan), sizes), refs[1:], Plan())
        return _cut(origin, small, plan, 1)
    except (UserError, KeyError, IndexError):  # the later network is coupled in other ways than the first
        return None


def _cut(base: LoadedModel, small: LoadedModel, plan: Plan, steps: int) -> Cut:
    network = _captured(base)
    removal = remove(base.model, network, plan)
    made, wanted = removal.model.state_dict(), small.model.state_dict()
    if {name: tensor.shape for name, tensor in made.items()} != {name: t.shape for name, t in wanted.items()}:
        raise UserError("The plan no longer leads from the original network to this one. Remove the channels again.")
    changed = {name for name, tensor in wanted.items() if not torch.equal(made[name], tensor)}
    trained = not changed.isdisjoint(name for name, _ in small.model.named_parameters())
    return Cut(base, small, network, plan, removal, bool(changed), trained, steps)


def _captured(model: LoadedModel) -> Network:
    return capture(model.model, torch.zeros(1, *model.input_size))
