"""A stranger's network is opened in a child: the server gets what it needs as checked plain data, or a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from pruning_core.apart import answer
from pruning_core.apart.described import ARRAYS, TOLD, WEIGHTS, Opened, describe, described, looked_at
from pruning_core.apart.opening import import_apart, open_apart
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.isolation.children import Children
from pruning_core.storage.opening import ended_the_server, noted
from pruning_core.storage.plain import Forged
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import DEMOS, Demo, ModelRef, available_demos, import_model, load_model
from tests.core.houses import house_of, small_program
from tests.core.upload_files import network, saved


@pytest.fixture(scope="module")
def house() -> Iterator[Children]:
    with house_of("tests.core.isolated_tasks") as made:
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "small.pt2"
    path.write_bytes(small_program())
    return path


def alike(one: Network, other: Network) -> bool:
    plan = Plan({group.key: (0,) for group in one.groups if group.size > 1})
    same_groups = [(g.key, g.size, g.exact, g.reason) for g in one.groups] == [
        (g.key, g.size, g.exact, g.reason) for g in other.groups
    ]
    members = all(
        (a.parameter, a.dim, a.role) == (b.parameter, b.dim, b.role) and np.array_equal(a.index, b.index)
        for g, h in zip(one.groups, other.groups, strict=True)
        for a, b in zip(g.members, h.members, strict=True)
    )
    return bool(
        same_groups
        and members
        and (one.blocked, one.operators, one.notes) == (other.blocked, other.operators, other.notes)
        and (one.cost(), one.cost(plan)) == (other.cost(), other.cost(plan))
        and one.layer_costs(plan) == other.layer_costs(plan)
        and np.array_equal(one.keep(plan), other.keep(plan))
        and one.example_shapes == other.example_shapes
    )


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_an_uploaded_program_is_imported_opened_and_cut_without_running_here(
    house: Children, workspace: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = import_model(file, "small.pt2", Workspace(workspace.root / "other"))
    expected = looked_at(here)
    cut = ModelRef("pruned", "small.pt2", base=here.ref, plan=Plan({expected.network.groups[0].key: (0, 1)}).to_json())
    small = load_model(cut, Workspace(workspace.root / "other"))
    for module in ("exported", "load"):
        monkeypatch.setattr(f"pruning_core.zoo.{module}.read_exported", lambda *given: pytest.fail("read here"))
    opened = import_apart(house, file, "small.pt2", workspace)
    again = open_apart(house, opened.loaded.ref, workspace)
    for each in (opened, again):
        loaded = each.loaded
        assert (loaded.ref, loaded.title, loaded.notes) == (here.ref, here.title, here.notes)
        assert (loaded.num_classes, loaded.input_size, loaded.looks) == (here.num_classes, here.input_size, here.looks)
        wanted, got = here.model.state_dict(), loaded.model.state_dict()
        assert list(got) == list(wanted) and all(torch.equal(got[name], wanted[name]) for name in wanted)
        assert [name for name, _ in loaded.model.named_parameters()] == [n for n, _ in here.model.named_parameters()]
        assert alike(each.network, expected.network)
        with pytest.raises(UserError, match="runs in a process of its own"):
            loaded.model(torch.zeros(1, 1, 8, 8))
    smaller = open_apart(house, cut, workspace)
    assert smaller.loaded.ref == cut and smaller.loaded.title == small.title
    assert {n: t.shape for n, t in smaller.loaded.model.state_dict().items()} == {
        n: t.shape for n, t in small.model.state_dict().items()
    }


def test_weights_are_read_in_a_child_and_put_into_a_class_of_ours(
    house: Children, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(network().state_dict()).getvalue())
    monkeypatch.setattr("pruning_core.zoo.uploads.read_checkpoint", lambda *given: pytest.fail("read here"))
    opened = import_apart(house, path, "weights.pt", workspace)
    assert not opened.loaded.ref.foreign and opened.loaded.used in opened.loaded.sets
    images = torch.rand(3, *opened.loaded.input_size)
    assert torch.equal(opened.loaded.model(images), network().eval()(images)) and opened.network.groups
    assert load_model(opened.loaded.ref, workspace).ref == opened.loaded.ref


def test_a_refusal_comes_back_with_its_snippet(house: Children, workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "unknown.pt"
    path.write_bytes(saved({"odd.weight": torch.rand(7, 5), "odd.bias": torch.rand(7)}).getvalue())
    with pytest.raises(UserError) as here:
        import_model(path, "unknown.pt", workspace)
    with pytest.raises(UserError) as there:
        import_apart(house, path, "unknown.pt", workspace)
    assert str(there.value) == str(here.value) and there.value.snippet == here.value.snippet != ""
    assert not any(path.is_file() for path in (workspace.root / "artifacts").rglob("*"))


@pytest.mark.parametrize("demo", available_demos(), ids=lambda demo: demo.name)
def test_a_network_is_the_same_as_plain_data(demo: Demo, tmp_path: Path) -> None:
    opened = looked_at(load_model(demo.ref))
    describe(opened, tmp_path)
    back = described(tmp_path)
    assert alike(back.network, opened.network)
    assert back.network.layout.trail == opened.network.layout.trail


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.second.weight = nn.Parameter(self.first.weight.detach().reshape(3, 4, 1, 1))
        self.again = self.first
        self.register_buffer("counts", torch.arange(3))
        self.register_buffer("gone", torch.ones(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.again(x)).mean((2, 3)) * self.gone.sum()


def test_shared_tensors_buffers_and_whole_numbers_keep_their_names(tmp_path: Path) -> None:
    model = Tied().eval()
    opened = looked_at(load_model(DEMOS[0].ref))
    other = Opened(type(opened.loaded)(model, opened.loaded.ref, "t", True, (3, 2, 2), 3), None, "nothing to see")
    describe(other, tmp_path)
    back = described(tmp_path)
    names = [name for name, _ in back.loaded.model.named_parameters()]
    assert names == [name for name, _ in model.named_parameters()]
    assert [name for name, _ in back.loaded.model.named_buffers()] == ["counts", "gone"]
    assert "gone" not in back.loaded.model.state_dict() and back.loaded.model.get_buffer("counts").dtype == torch.int64
    with pytest.raises(UserError, match="nothing to see"):
        _ = back.network


# -- what a child makes up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "text",
        "list",
        "classes",
        "side",
        "title",
        "name",
        "missing",
        "weights",
        "arrays",
        "unit",
        "member",
        "link",
        "ref",
    ],
)
def test_what_does_not_fit_together_is_not_taken(tmp_path: Path, how: str) -> None:
    describe(looked_at(load_model(DEMOS[0].ref)), tmp_path)
    assert described(tmp_path).network.groups
    told, network = json.loads((tmp_path / TOLD).read_text())
    arrays = safetensors.torch.load_file(tmp_path / ARRAYS)
    match how:
        case "text":
            (tmp_path / TOLD).write_text("[" * 100_000)
        case "list":
            told = []
        case "classes":
            told["num_classes"] = True
        case "side":
            told["input_size"] = [1, 8, 1 << 40]
        case "title":
            told["title"] = "x" * 1_000_000
        case "name":
            told["names"]["parameters"].append("forward")
            (tmp_path / WEIGHTS).write_bytes(
                safetensors.torch.save(safetensors.torch.load_file(tmp_path / WEIGHTS) | {"forward": torch.ones(1)})
            )
        case "missing":
            told["names"]["buffers"].append("nowhere")
        case "weights":
            (tmp_path / WEIGHTS).write_bytes(b"\x80\x02cos\nsystem\n")
        case "arrays":
            (tmp_path / ARRAYS).unlink()
        case "unit":
            for tensor in arrays.values():
                tensor += 1 << 40
            safetensors.torch.save_file(arrays, tmp_path / ARRAYS)
        case "member":
            network["groups"][0]["members"][0]["dim"] = 7
        case "link":
            (tmp_path / WEIGHTS).unlink()
            (tmp_path / WEIGHTS).symlink_to("/etc/passwd")
        case "ref":
            told["ref"] = told["ref"].replace('"demo"', '"a child\'s"', 1)
    if how != "text":
        (tmp_path / TOLD).write_text(json.dumps([told, network]))
    with pytest.raises(Forged):
        described(tmp_path)


# -- a file that ends its reader ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "ended its reader: it reached for memory that is not there"),
        ("exit", "ended its reader: it left with the code 0"),
        ("memory", "needs more memory than there is for it"),
        ("spin", "ended its reader: it was not done after"),
        ("bug", "Something unexpected went wrong"),
        ("nonsense", "ended its reader: what it answered is no answer"),
        ("network", "Something unexpected went wrong"),
        ("writes", "Something unexpected went wrong"),
    ],
)
def test_a_file_that_ends_its_reader_is_a_sentence(
    house: Children, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.setattr("pruning_core.apart.opening.IMPORT", "harmful import")
    monkeypatch.setattr(answer, "WALL_S", 0.5 if how == "spin" else 60.0)
    monkeypatch.setattr(answer, "memory", lambda: 256 << 20)
    path = tmp_path / "a.pt2"
    path.write_text(how)
    with pytest.raises(UserError, match=words) as told:
        import_apart(house, path, "a.pt2", workspace)
    assert "'a.pt2'" in str(told.value) and not (tmp_path / "harm").exists()
    assert not list((workspace.root / "children").iterdir())


# -- what is noted before a file is opened -----------------------------------------------------------------------------

OPENS = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from pruning_core.storage.opening import ended_the_server, noted
with noted(Path(sys.argv[1]), "key", "a.pt2"):
    assert not ended_the_server(Path(sys.argv[1]), "key")
    os.kill(os.getpid(), 9)
"""


def test_what_ended_a_server_is_known_to_the_next_one_until_it_opens_well(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", OPENS.format(root=root), str(tmp_path)], check=False)
    assert ended_the_server(tmp_path, "key") == "a.pt2" and not ended_the_server(tmp_path, "another")
    with noted(tmp_path, "another", "b.pt2"):
        assert not ended_the_server(tmp_path, "another"), "it is being opened, by somebody who lives"
    with pytest.raises(UserError), noted(tmp_path, "key", "a.pt2"):
        raise UserError("It is damaged.")
    assert ended_the_server(tmp_path, "key") == "a.pt2"
    with noted(tmp_path, "key", "a.pt2"):
        pass
    assert not ended_the_server(tmp_path, "key") and not list((tmp_path / "opening").iterdir())
    assert not os.listdir(tmp_path / "opening")
