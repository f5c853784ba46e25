"""A cell of a mended sweep must say what removing the channels and refitting what reads them says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.sensitivity import Fast, LeftOut, NotMended, sweep
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove, silence
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.mending import Refits, mend, refits
from pruning_core.replay.replay import Replay
from pruning_core.replay.scorers import WholeScorer
from tests.core.mended_nets import Net, Partly, by_hand

RATIOS = (0.0, 0.3, 0.7)
Event = Accuracy | Cell | LeftOut | NotMended
ALL = 10_000  # positions of an image
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (200,), generator=generator)
    return Dataset(images, labels, tuple("0123456789"), (0.5,), (0.3,), "noise")


@pytest.fixture(scope="module")
def fit() -> Tensor:
    return torch.randn(90, 1, 8, 8, generator=torch.Generator().manual_seed(5)) * 1.5


@pytest.fixture(scope="module")
def model(data: Dataset) -> nn.Module:
    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2), module.bias.uniform_(-0.5, 0.5)
        for _ in range(30):
            model(data.normalised(data.images))
        model.eval()
        answers = model(data.normalised(data.images))
        model.head.bias -= answers.mean(0)  # so that answers differ from image to image
    return model


@pytest.fixture(scope="module")
def labelled(model: nn.Module, data: Dataset) -> Dataset:
    """Right is what the unpruned network says: what is lost can be told then."""
    with torch.no_grad():
        return replace(data, labels=model(data.normalised(data.images)).argmax(1))


@pytest.fixture(scope="module")
def network(model: nn.Module) -> Network:
    return capture(model, torch.zeros(1, 1, 8, 8))


@pytest.fixture(scope="module")
def scores(network: Network) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {g.key: torch.rand(g.size, generator=generator) for g in network.groups}


def refitting(model: nn.Module, network: Network, fit: Tensor, positions: int = ALL) -> Refits:
    return Refits(model, network, [g.key for g in network.groups], fit, positions=positions)


def right(model: nn.Module, data: Dataset) -> int:
    with torch.no_grad():
        return int((model(data.normalised(data.images)).argmax(1) == data.labels).sum())


def cells(events: list[Event]) -> dict[tuple[str, float], Cell]:
    return {(e.group, e.ratio): e for e in events if isinstance(e, Cell)}


def test_a_mended_cell_is_a_real_removal_with_its_readers_refitted(
    model: nn.Module, network: Network, labelled: Dataset, scores: dict[str, Tensor], fit: Tensor
) -> None:
    solved = refitting(model, network, fit)
    events = list(sweep(model, network, labelled, scores, RATIOS, device="cpu", batch_size=64, refits=solved))
    plain = cells(list(sweep(model, network, labelled, scores, RATIOS, device="cpu")))
    found = cells(events)
    assert set(found) == set(plain) and solved.walks == 1 and not [e for e in events if isinstance(e, NotMended)]
    assert len({len({m.parameter for m in g.consumers}) for g in network.groups}) > 1, "one reader and several"
    for (key, ratio), cell in found.items():
        drop = lowest(scores[key], removed_count(ratio, network.group(key).size))
        assert cell.mended == bool(drop)
        expected = model
        if drop:
            expected = remove(by_hand(model, network, key, drop, fit), network, Plan({key: drop})).model
        assert round(cell.top1 * len(labelled)) == right(expected, labelled), (key, ratio)
    total = [sum(cell.top1 for cell in each.values()) / len(each) for each in (plain, found)]
    assert total[1] > total[0] + 0.05, "and it is worth something"


def test_where_one_layer_reads_a_group_it_is_what_mending_the_whole_network_gives(
    model: nn.Module, network: Network, labelled: Dataset, scores: dict[str, Tensor], fit: Tensor
) -> None:
    solved, images, seen = refitting(model, network, fit), labelled.normalised(labelled.images), 0
    norms = {name for name, _ in model.named_buffers() if name.endswith("running_mean")}
    for group in network.groups:
        if len({m.parameter for m in group.consumers}) > 1 or any("block" in name for name in group.layers):
            continue  # mend() takes one reader after the other, and moves every batch norm behind
        seen += 1
        drop = lowest(scores[group.key], group.size // 2)
        done = mend(model, network, Plan({group.key: drop}), fit, positions=ALL)
        with torch.no_grad():
            expected = done.model(images)
            changed = solved((group.key, drop))
            found = torch.func.functional_call(model, changed, (images,))
        assert not norms & changed.keys()
        assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max())), group.key
    assert seen >= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_replay_with_other_parameters_is_the_network_with_them(
    model: nn.Module, network: Network, labelled: Dataset, dtype: torch.dtype
) -> None:
    x = labelled.normalised(labelled.images[:24])
    replay = Replay(model, network, x[:1], dtype=dtype)
    base, kept = replay.forward(x, replay.needed(g.key for g in network.groups))
    generator = torch.Generator().manual_seed(3)
    for group in network.groups:
        names = {m.parameter for m in group.consumers}
        owners = {name.removesuffix("weight") + "bias" for name in names} | {
            f"{norm}.{kind}" for norm in ("norm", "block.norm") for kind in ("running_mean", "running_var")
        }
        state = model.state_dict()
        touched = [n for n in state if n in names or (n in owners and n.rpartition(".")[0] in _behind(names))]
        other = {n: state[n] * (0.5 + torch.rand(state[n].shape, generator=generator)) for n in touched}
        drop = tuple(range(0, group.size - 1, 2))
        variant = replay.variant(group.key, drop, other)
        assert variant is not None
        stand_in = type(model)().eval()
        stand_in.load_state_dict(state | other)
        with torch.no_grad():
            expected = silence(stand_in, network, Plan({group.key: drop}))(x)
            wrong = (replay.scores(variant, kept, len(x), base).float() - expected).abs().max()
        assert wrong <= (0.1 if dtype == torch.bfloat16 else 1e-4) * expected.abs().max(), group.key


def _behind(weights: set[str]) -> set[str]:
    """The layers of these weights and the batch norms right behind them."""
    layers = {name.removesuffix(".weight") for name in weights}
    return layers | ({"block.norm"} if "block.narrow" in layers else set()) | ({"norm"} if "side" in layers else set())


def test_a_network_run_as_a_whole_gives_the_same_scores(
    model: nn.Module, network: Network, labelled: Dataset, fit: Tensor
) -> None:
    solved, x = refitting(model, network, fit), labelled.normalised(labelled.images[:16])
    replay = Replay(model, network, x[:1])
    base, kept = replay.forward(x, replay.needed(g.key for g in network.groups))
    whole = WholeScorer(model, network, "cpu", solved)
    whole.begin(x)
    for group in network.groups:
        removal = (group.key, tuple(range(group.size // 2)))
        variant = replay.variant(*removal, solved(removal))
        assert variant is not None
        assert torch.allclose(whole.scores(removal), replay.scores(variant, kept, len(x), base), atol=1e-3)


def test_equations_that_do_not_fit_together_are_collected_in_several_walks(
    model: nn.Module, network: Network, fit: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = refitting(model, network, fit, positions=5)
    removals = [(g.key, tuple(range(g.size // 2))) for g in network.groups]
    expected = [at_once(removal) for removal in removals]
    most = max(sum(r.bytes for r in at_once._readers(key)) for key, _ in removals)
    monkeypatch.setattr(refits, "MOST_BYTES", most)
    in_parts = refitting(model, network, fit, positions=5)
    for removal, changed in zip(removals, expected):
        found = in_parts(removal)
        assert found.keys() == changed.keys() and all(torch.equal(found[name], changed[name]) for name in changed)
        assert sum(each.reader.bytes for each in in_parts._held.values()) <= most
    walks = in_parts.walks
    assert at_once.walks == 1 < walks < len(removals)
    in_parts(removals[0])
    assert in_parts.walks == walks, "what is solved is not collected again"


def test_the_model_is_untouched_and_two_images_are_needed(model: nn.Module, network: Network, fit: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    solved = refitting(model, network, fit[:16])
    for group in network.groups:
        solved((group.key, (0, 1)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(UserError, match="at least two"):
        refitting(model, network, fit[:1])


def test_what_cannot_be_mended_is_named_and_just_cut(labelled: Dataset) -> None:
    torch.manual_seed(0)
    model = Partly().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    fit = torch.randn(64, 1, 8, 8)
    scores = {g.key: torch.arange(g.size).float() for g in network.groups}
    events = list(sweep(model, network, labelled, scores, (0.5,), device="cpu", refits=refitting(model, network, fit)))
    told = {e.key: e for e in events if isinstance(e, NotMended)}
    plain, found = cells(list(sweep(model, network, labelled, scores, (0.5,), device="cpu"))), cells(events)
    (layered,) = [g.key for g in network.groups if not g.exact]
    assert "normalisation" in told[layered].why and not told[layered].partly
    assert replace(found[layered, 0.5], seconds=0.0) == replace(plain[layered, 0.5], seconds=0.0)
    assert told["a"].partly and "shared.weight: it is used several times" in told["a"].why
    assert found["a", 0.5].mended and found["beside", 0.5].mended and "beside" not in told


def test_a_stopped_mended_sweep_ends_the_same(
    model: nn.Module, network: Network, labelled: Dataset, scores: dict[str, Tensor], fit: Tensor
) -> None:
    def events(past: tuple[Cell, ...] = ()) -> list[Event]:
        solved = refitting(model, network, fit, positions=8)
        return list(
            sweep(model, network, labelled, scores, (0.5, 0.8), device="cpu", batch_size=50, past=past, refits=solved)
        )

    whole = events()
    some = tuple(e for e in whole if isinstance(e, Cell))[: len(scores) + 3]
    again = cells(events(tuple(cells(list(some)).values())))
    for at, cell in again.items():
        assert (cell.top1, cell.lost, cell.mended) == (cells(whole)[at].top1, cells(whole)[at].lost, True)


def test_estimates_between_mended_cells_are_mended_ones(
    model: nn.Module, network: Network, labelled: Dataset, scores: dict[str, Tensor], fit: Tensor
) -> None:
    solved = refitting(model, network, fit, positions=8)
    ratios = tuple(i / 10 for i in range(1, 10))
    found = cells(list(sweep(model, network, labelled, scores, ratios, mode=Fast(0.2), device="cpu", refits=solved)))
    assert any(cell.estimated for cell in found.values()) and all(
        cell.mended == bool(cell.removed) for cell in found.values()
    )
