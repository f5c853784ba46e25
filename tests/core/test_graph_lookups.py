"""Tables of parameters that numbers computed from the input look up, however that is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import Network, capture
from pruning_core.zoo.programs.packing import pack
from pruning_core.zoo.uploads import import_model
from tests.core.graph_checks import Net, check_exact, owners

WORDS = torch.randint(11, (2, 5), generator=torch.Generator().manual_seed(0))


def table(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))


def reader(look: Callable[[Tensor, Tensor], Tensor], *shape: int) -> Net:
    """A table, the lookup, and two linear layers on what it gives."""
    width = 8
    return Net(
        lambda m, x: m.f(F.relu(m.b(look(m.table, x.long()))).mean(1)),
        table=table(*(shape or (11, width))),
        b=nn.Linear(width, 6),
        f=nn.Linear(6, 3),
    )


def blocked(network: Network) -> dict[tuple[str, int], str]:
    return {(b.parameter, b.dim): b.reason for b in network.blocked}


BY_ROWS = {
    "index": lambda w, t: w[t],
    "index computed": lambda w, t: w[(t * 3 + 1).remainder(11)],
    "index_select": lambda w, t: w.index_select(0, t.reshape(-1)).unflatten(0, t.shape),
    "unsafe index": lambda w, t: torch.ops.aten._unsafe_index(w, [t]),
    "columns": lambda w, t: w.t()[:, t].permute(1, 2, 0),
    "gather": lambda w, t: torch.gather(w.expand(len(t), -1, -1), 1, t[..., None].expand(-1, -1, w.shape[1])),
    "take_along_dim": lambda w, t: torch.take_along_dim(w[None], t[..., None], 1),
    "words and positions": lambda w, t: w[t] + w[torch.arange(t.shape[1])],
}


@pytest.mark.parametrize("look", BY_ROWS.values(), ids=BY_ROWS)
def test_channels_of_a_table_begin_where_it_is_looked_up(look: Callable[[Tensor, Tensor], Tensor]) -> None:
    """As an embedding's do; its rows stay, by name."""
    network = check_exact(reader(look), WORDS)
    assert owners(network) == {"table": (8, True), "b": (6, True)}
    assert "follow from the data" in blocked(network)["table", 0]


def test_every_other_dimension_of_a_table_is_free() -> None:
    """Four parts of eight channels per row, added up: there can be fewer of both."""
    net = Net(
        lambda m, x: m.f(F.relu(m.b(m.table[x].sum(2))).mean(1)),
        table=table(11, 4, 8),
        b=nn.Linear(8, 6),
        f=nn.Linear(6, 3),
    )
    assert owners(check_exact(net, WORDS)) == {"table": (4, True), "table#2": (8, True), "b": (6, True)}


def test_a_vector_for_every_column_of_a_table_begins_channels() -> None:
    """As transformers for tables read numbers: each times a vector of its own, and a bias."""
    net = Net(
        lambda m, x: m.f(F.relu(m.b(x[..., None] * m.vectors + m.bias)).mean(1)),
        vectors=table(5, 8),
        bias=table(5, 8),
        b=nn.Linear(8, 6),
        f=nn.Linear(6, 3),
    )
    network = check_exact(net, torch.randn(2, 5, generator=torch.Generator().manual_seed(0)))
    assert owners(network) == {"vectors": (8, True), "b": (6, True)}
    assert ("bias", 1) in {(m.parameter, m.dim) for m in network.group("vectors").members}
    assert network.group("vectors").consumers[0].parameter == "b.weight"


STAYS = {
    "row and column": lambda w, t: w[t[..., None], torch.arange(8)],
    "flat positions": lambda w, t: torch.take(w, t[..., None] * 8 + torch.arange(8)),
    "a mask of rows": lambda w, t: w[(torch.arange(11)[:, None] == t.reshape(-1)).any(1)][None].expand(len(t), -1, -1),
    "a bag": lambda w, t: F.embedding_bag(t, w)[:, None],
}


@pytest.mark.parametrize("look", STAYS.values(), ids=STAYS)
def test_what_is_looked_up_in_another_way_stays_by_name(look: Callable[[Tensor, Tensor], Tensor]) -> None:
    network = check_exact(reader(look), WORDS, cost=False)
    assert "b" in owners(network) and "table" not in owners(network)
    assert {("table", 0), ("table", 1)} <= blocked(network).keys()


def test_a_fixed_table_looked_up_by_the_input_feeds_layers_that_can_be_cut() -> None:
    """Steps of time in a diffusion network: the table is a constant, the layers behind it are not."""
    angles = torch.arange(11)[:, None] * torch.linspace(0.1, 1, 8)
    net = Net(lambda m, t: m.f(F.silu(m.b(angles.sin().to(m.b.weight.dtype)[t]))), b=nn.Linear(8, 6), f=nn.Linear(6, 3))
    assert owners(check_exact(net, WORDS[:, 0])) == {"b": (6, True)}


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.b, self.f = table(11, 8), nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(F.relu(self.b(self.table[x])).mean(1))


def test_a_program_out_of_a_file_has_the_groups_of_its_module(tmp_path: Path) -> None:
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    torch.export.save(torch.export.export(Words().eval(), (WORDS,), dynamic_shapes=(batch,)), tmp_path / "words.pt2")
    model = import_model(tmp_path / "words.pt2", "words.pt2", tmp_path).model
    network = check_exact(model, pack([WORDS]), train=False)
    assert owners(network) == owners(capture(Words(), WORDS)) == {"table": (8, True), "b": (6, True)}
