"""Rules for operators that are not PyTorch's own: whoever wrote one says what it does to channels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pruning_core.errors import UserError
from pruning_core.graph.labelling.labels import Labelled, cover
from pruning_core.graph.labelling.pointwise import elementwise as joined
from pruning_core.graph.labelling.rules.arithmetic import elementwise as pointwise
from pruning_core.graph.labelling.rules.call import Call, Rule

__all__ = ["by_channel", "late", "pointwise", "register_rule"]

OWN: dict[str, Rule] = {}
"""By the operator's name with its namespace, "mylib::shrink"."""


def register_rule(operator: Any, rule: Rule) -> None:
    """From now on ``operator`` does to channels what ``rule`` says; without a rule it pins what it reads, and is named.

    ``operator`` is its full name ("mylib::shrink") or what ``torch.library.custom_op`` returned. Rules that most need
    are ``pointwise`` (every number by itself, operands broadcast) and ``by_channel``; another one is a function of a
    ``Call`` to ``Labelled``, as those in this folder are. Networks that were captured before know nothing of it.

    A rule is a claim, not a proof: ``remove`` compares with the silenced original all the same, and a wrong claim ends
    there. Raises UserError for a name without a namespace, for one of PyTorch's own, and for a second, other rule.

    A complete example; it runs as a test::

        import torch
        from torch import nn
        from pruning_core.graph import Plan, capture, pointwise, register_rule, remove, silence

        @torch.library.custom_op("mylib::shrink", mutates_args=())
        def shrink(x: torch.Tensor, by: float) -> torch.Tensor:
            return torch.sign(x) * torch.clamp(torch.abs(x) - by, min=0)

        class Denoiser(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.down, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.up(shrink(self.down(x), 0.1))

        register_rule("mylib::shrink", pointwise)
        model, x = Denoiser().eval(), torch.randn(2, 3, 8, 8)
        network = capture(model, x)
        plan = Plan({"down": (0, 3, 5)})
        smaller = remove(model, network, plan).model
        assert smaller.down.out_channels == 5
        assert torch.allclose(smaller(x), silence(model, network, plan)(x), atol=1e-6)
    """
    name = operator if isinstance(operator, str) else str(getattr(operator, "_qualname", operator))
    space, _, own = name.partition("::")
    if not own or space in ("aten", "prims", "prim"):
        raise UserError(
            f"{name!r} is no operator of a library of its own. Give its full name, such as 'mylib::shrink'."
        )
    if OWN.setdefault(name, rule) is not rule:
        raise UserError(f"{name} has another rule already. An operator does one thing to channels: register it once.")


def late(otherwise: Rule) -> Rule:
    """Looks for a rule when the operator runs, because one may be registered after the operator was first seen."""
    return lambda call: OWN.get(call.op._schema.name, otherwise)(call)


def by_channel(call: Call) -> Labelled | list[Labelled]:
    """Every channel (N, C, …) is computed from itself alone, wherever its numbers stand; the count of them stays.

    Parameters of shape (C, …) among the arguments belong to the channels, one each.
    """
    x, channels = call.x, call.x.shape[1]
    call.universe.pin([p for p in x.planes if not cover(p) <= {0, 1}], "it is a position in space")
    rank = len(call.shape)
    operands = [
        x.to(call.shape, [p.reshape((*p.shape[:2], *(1,) * (rank - 2))) for p in x.planes if cover(p) <= {0, 1}])
    ]
    for other in call.tensors()[1:]:
        if other.shape[:1] != (channels,) or any(not cover(p) <= {0} for p in other.planes):
            call.universe.pin(other.planes, "it is no parameter with one entry per channel")
            continue
        shape = (1, channels, *(1,) * (rank - 2))
        operands.append(other.to(shape, [p.reshape((1, p.shape[0], *(1,) * (rank - 2))) for p in other.planes]))
    result = replace(joined(call.universe, operands, call.shape), zero=False)
    return call.for_each_output(result)
