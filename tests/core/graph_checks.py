"""What must hold for every network and every plan, whatever the network: shared by the tests of the heart.

Nothing here trusts the proof that `remove` makes itself: outputs are compared on other inputs, at other batch sizes, in
training mode too, gradients are compared entry by entry, and silencing is repeated with hooks that share no code with
`silence`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.graph import Network, Plan, Removal, Role, capture, remove, silence

torch.set_num_threads(1)  # the networks are tiny; the machine is shared

EXACT = 1e-10  # relative, float64


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """No parameter or statistic is left at a value (0, 1, all equal) that could hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
        for parameter in model.parameters():
            if parameter.numel() > 1 and float(parameter.std()) < 1e-4:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.3, 0.3, generator=generator))
            if parameter.numel() and float(parameter.abs().max()) < 1e-3:
                parameter.add_(0.3)
    return model


def random_plan(
    network: Network, rng: np.random.Generator, *, keys: list[str] | None = None, share: float | None = None
) -> Plan:
    """Random units of every exact group (or of ``keys``), never all of them."""
    drop = {}
    for group in network.groups:
        if (group.exact if keys is None else group.key in keys) and group.size > 1:
            most = group.size - 1
            count = int(rng.integers(1, most + 1)) if share is None else min(most, max(1, round(share * group.size)))
            drop[group.key] = rng.choice(group.size, count, replace=False).tolist()
    return Plan(drop)


def images(example: Any, batch: int, seed: int) -> tuple[Any, ...]:
    """Arguments shaped like ``example`` at another batch size; integers stay in the range of the example."""
    generator = torch.Generator().manual_seed(seed)

    def other(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.dim():
            return value
        shape = (batch, *value.shape[1:])
        if value.is_floating_point():
            return torch.randn(shape, generator=generator, dtype=value.dtype)
        if value.dtype == torch.bool:
            return value[:1].expand(shape).clone()
        return torch.randint(int(value.max()) + 1, shape, generator=generator, dtype=value.dtype)

    return tuple(tree_map(other, example))


def outputs(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    with torch.no_grad():
        return tensors_of(model(*(tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, a) for a in arguments)))


def tensors_of(value: Any) -> list[Tensor]:
    if hasattr(value, "__dataclass_fields__"):
        value = dict(vars(value))
    return [t for t in tree_leaves(value) if isinstance(t, Tensor)]


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference relative to the largest value, over all outputs."""
    assert [t.shape for t in ours] == [t.shape for t in theirs]
    assert all(torch.isfinite(t).all() for t in (*ours, *theirs)), "not finite: the comparison would mean nothing"
    scale = max(float(t.abs().max()) for t in theirs if t.numel())
    assert scale > 0, "the reference is all zero: the comparison would mean nothing"
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(ours, theirs) if a.numel()) / scale


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a model that a caller could notice."""
    return {
        "tensors": {n: (id(t), t.detach().clone()) for n, t in [*model.named_parameters(), *model.named_buffers()]},
        "modes": [m.training for m in model.modules()],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "grads": {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
        "marks": [sorted(vars(t)) if hasattr(t, "__dict__") else [] for t in [*model.parameters(), *model.buffers()]],
        "requires_grad": [p.requires_grad for p in model.parameters()],
    }


def assert_untouched(model: nn.Module, before: dict[str, Any]) -> None:
    after = state_of(model)
    for key in ("modes", "attributes", "hooks", "marks", "requires_grad"):
        assert after[key] == before[key], key
    assert after["tensors"].keys() == before["tensors"].keys()
    for name, (identity, value) in before["tensors"].items():
        assert after["tensors"][name][0] == identity, f"{name} was replaced"
        assert torch.equal(after["tensors"][name][1], value), f"{name} was changed"
    for name, grad in before["grads"].items():
        now = after["grads"][name]
        assert (grad is None) == (now is None) and (grad is None or torch.equal(grad, now)), f"{name}.grad was changed"


def counted(model: nn.Module, arguments: tuple[Any, ...]) -> int:
    """Multiply-accumulates as PyTorch's own counter sees them; its table lacks the CPU's fused attention."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)  # the counter's hooks do not expect parameters as arguments of modules
    try:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), fused_attention_off():
            outputs(model, arguments)
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
    total = counter.get_total_flops()
    assert total % 2 == 0
    return total // 2


@contextmanager
def fused_attention_off() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def assert_cost(network: Network, plan: Plan, model: nn.Module, example: tuple[Any, ...]) -> None:
    """The closed form equals what is counted on ``model``, to the last digit."""
    cost = network.cost(plan)
    batch = next(len(a) for a in tree_leaves(example) if isinstance(a, Tensor) and a.dim())
    assert cost.macs * batch == counted(model.eval(), example)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    if not isinstance(model, torch.fx.GraphModule):  # a program holds constants of its own
        stored = {id(t): t for t in [*model.parameters(), *model.buffers()]}
        assert cost.size_bytes == sum(t.numel() * t.element_size() for t in stored.values())
    layers = network.layer_costs(plan)
    assert sum(layer.macs for layer in layers) == cost.macs
    assert sum(layer.parameters for layer in layers) == cost.parameters


def silenced_by_hooks(model: nn.Module, network: Network, plan: Plan) -> nn.Module | None:
    """The plan's units multiplied by zero at the inputs of the layers that read them.

    None when a unit is read by something that is no plain Linear or ungrouped convolution.
    """
    clone = copy.deepcopy(model)
    tensors = dict(clone.named_parameters())
    for key, units in plan.items():
        group = network.group(key)
        if not group.consumers:
            return None
        for member in group.consumers:
            layers = [m for m in clone.modules() if getattr(m, "weight", None) is tensors[member.parameter]]
            if not layers or member.dim != 1 or not all(_plain_reader(layer) for layer in layers):
                return None
            gone = torch.as_tensor(member.index[list(units)].reshape(-1))

            def zero(layer: nn.Module, args: tuple[Any, ...], gone: Tensor = gone) -> tuple[Any, ...]:
                return (args[0].index_fill(-1 if isinstance(layer, nn.Linear) else 1, gone, 0.0), *args[1:])

            for layer in layers:
                layer.register_forward_pre_hook(zero)
    return clone


def _plain_reader(layer: nn.Module) -> bool:
    if type(layer) is nn.modules.linear.NonDynamicallyQuantizableLinear:
        return False  # nn.MultiheadAttention reads its weight without calling it
    return isinstance(layer, nn.Linear) or (
        isinstance(layer, nn.modules.conv._ConvNd) and layer.groups == 1 and not layer.transposed
    )


def gradients(model: nn.Module, arguments: tuple[Any, ...]) -> dict[str, Tensor]:
    """Gradients of a fixed scalar of the outputs in training mode."""
    model.zero_grad()
    model.train()
    total = sum(
        (t * torch.linspace(0.5, 1.5, t.numel(), dtype=t.dtype).reshape(t.shape)).pow(2).sum()
        for t in tensors_of(model(*arguments))
        if t.is_floating_point()
    )
    assert isinstance(total, Tensor) and total.requires_grad, "nothing in the network can be trained"
    total.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(
    removed: nn.Module, silent: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...]
) -> None:
    ours, theirs = gradients(removed, arguments), gradients(silent, arguments)
    kept = network.kept(plan)
    for name, grad in theirs.items():
        if name not in ours:
            continue
        for dim in range(grad.dim()):
            if (name, dim) in kept:
                grad = grad.index_select(dim, torch.as_tensor(kept[name, dim]))
        scale = max(float(theirs[name].abs().max()), 1e-3)
        assert float((ours[name] - grad).abs().max()) / scale < 1e-8, name


def check_plan(
    model: nn.Module,
    network: Network,
    plan: Plan,
    example: tuple[Any, ...],
    *,
    train: bool = True,
    batches: tuple[int, ...] = (1, 2, 3),
    cost: bool = True,
    form: str | None = None,
) -> Removal:
    """Remove, silence, and compare the two in every way; returns what `remove` gave."""
    before = state_of(model)
    done = remove(model, network, plan)
    silent = silence(model, network, plan)
    assert_untouched(model, before)
    if form is not None:
        assert done.form == form, done.proof
    removed = done.model
    hooked = silenced_by_hooks(model, network, plan)
    for batch in batches:
        x = images(example, batch, seed=batch)
        reference = outputs(silent.eval(), x)
        assert difference(outputs(removed.eval(), x), reference) < EXACT
        if hooked is not None:
            assert difference(outputs(hooked.eval(), x), reference) < EXACT
    if cost:
        assert_cost(network, plan, removed, example)
    if train and any(p.requires_grad for p in model.parameters()):
        x = images(example, 3, seed=9)
        if done.form == "module" and not _at_source(network, plan):
            assert_same_gradients(copy.deepcopy(removed), copy.deepcopy(silent), network, plan, x)
        else:
            gradients(copy.deepcopy(removed), x)
    return done


def _at_source(network: Network, plan: Plan) -> bool:
    return any(network.layout.silent_producers.intersection(network.unit_ids[key].tolist()) for key in plan)


def check_exact(
    model: nn.Module,
    example: Tensor | tuple[Any, ...],
    *,
    plans: int = 3,
    seed: int = 0,
    train: bool = True,
    batches: tuple[int, ...] = (1, 2, 3),
    cost: bool = True,
    form: str | None = None,
) -> Network:
    """Capture in float64 with random statistics, and check random plans over all exact groups, alone and together."""
    arguments = example if isinstance(example, tuple) else (example,)
    arguments = tree_map(lambda v: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v, arguments)
    randomise(model, seed).double().eval()
    before = state_of(model)
    network = capture(model, arguments)
    assert_untouched(model, before)
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(plans):
            plan = random_plan(network, rng)
            if plan:
                check_plan(model, network, plan, arguments, train=train, batches=batches, cost=cost, form=form)
    return network


def owners(network: Network) -> dict[str, tuple[int, bool]]:
    """Group key -> (units, exact)."""
    return {g.key: (g.size, g.exact) for g in network.groups}


def roles(network: Network, key: str) -> dict[str, str]:
    return {f"{m.parameter}.{m.dim}": m.role.value for m in network.group(key).members}


def consumers(network: Network, key: str) -> set[str]:
    return {m.parameter for m in network.group(key).members if m.role is Role.CONSUMER}


class Net(nn.Module):
    """A network in one line: named layers (or parameters) and a function of itself and the inputs."""

    def __init__(self, body: Any, **layers: Any) -> None:
        super().__init__()
        self.body = body
        for name, layer in layers.items():
            if isinstance(layer, Tensor) and not isinstance(layer, nn.Parameter):
                self.register_buffer(name, layer)
            else:
                setattr(self, name, layer)

    def forward(self, *inputs: Any) -> Any:
        return self.body(self, *inputs)


def image(channels: int = 3, side: int = 8, batch: int = 1) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(5))


def head(channels: int, classes: int = 5) -> nn.Sequential:
    """Global average pooling and a classifier."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
