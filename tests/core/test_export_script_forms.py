"""The script repeats the removal as it was made: as a program, boldly, with weights that share their numbers."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from pruning_core.export.weights import fingerprint, weights_bytes
from pruning_core.graph import Plan, capture, remove
from tests.core.export_nets import Cut, Tied, Written, cut, module_of, script


class Tables(nn.Module):
    """In program form, with all that a script must carry: tables, a norm of its own class, dropout, dead weights."""

    class OwnNorm(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 12, 3, padding=1), Tables.OwnNorm(12), nn.Dropout(0.5)
        self.again, self.head, self.unused = nn.Conv2d(6, 6, 1), nn.Linear(6 * 4, 4), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))[:, torch.tensor([11, 0, 3, 2, 7, 5])]
        x = self.again(x) * torch.linspace(0.5, 1, 8).square()
        x = nn.functional.adaptive_avg_pool2d(self.drop(x), 2)
        return self.head(x.view(x.shape[0], 6 * 4))


@pytest.mark.parametrize("build", [Written, Tables])
def test_a_program_form_runs_in_its_script(build, tmp_path, monkeypatch, capsys):
    """The network's own code cannot run at the new sizes, so the script carries what was recorded, and checks it."""
    case = cut(build)
    assert case.removal.form == "program"
    tuned = copy.deepcopy(case.removal.model)
    with torch.no_grad():
        tuned.head.bias.fill_(7.0)
    module = module_of(script(case, tuned=tuned))
    small = module.prune(case.model)
    assert small.state_dict().keys() == case.removal.model.state_dict().keys()
    assert fingerprint(small.state_dict()) == fingerprint(case.removal.model.state_dict())
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(small.eval()(x), case.removal.model(x))
    assert torch.equal(copy.deepcopy(small)(x), small(x))
    torch.save(case.model.state_dict(), tmp_path / "original.pt")
    (tmp_path / "tuned.safetensors").write_bytes(weights_bytes(tuned))
    arguments = ["--weights", "original.pt", "--tuned", "tuned.safetensors", "--out", "small.pt"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prune.py", *arguments])
    for code, comparisons in ((build, 3), (None, 2)):  # without the network's code, there is nothing to silence
        module.build = code
        module.main()
        printed = capsys.readouterr().out
        assert printed.count("of the largest output") == comparisons and "other weights" not in printed
        assert fingerprint(torch.load(tmp_path / "small.pt", weights_only=True)) == fingerprint(tuned.state_dict())
        (tmp_path / "small.pt").unlink()


def test_tied_weights_are_found_under_either_name(tmp_path):
    """A file keeps one of them; ours says which under "aliases", other writers leave the second name out."""
    case = cut(Tied)
    module = module_of(script(case))
    state = case.model.state_dict()
    assert {"again.weight", "middle.weight"} <= state.keys()
    files = {
        "ours.safetensors": weights_bytes(case.model),
        "first.safetensors": save({k: v for k, v in state.items() if k != "again.weight"}),
        "second.safetensors": save({k: v for k, v in state.items() if k != "middle.weight"}),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        assert fingerprint(module.load_state(str(tmp_path / name))) == fingerprint(state), name
    tuned = case.removal.model
    (tmp_path / "tuned.safetensors").write_bytes(weights_bytes(tuned))
    small = module.prune(case.model)
    small.load_state_dict(module.load_state(str(tmp_path / "tuned.safetensors")))
    assert small.again.weight is small.middle.weight


class FourOfAll(nn.Module):
    """Four heads beside four tokens and a width of four: only a bold cut changes the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.patch, self.qkv = 4, nn.Conv2d(1, 16, 4, 4), nn.Linear(16, 48)
        self.out, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(t).reshape(len(t), t.shape[1], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        t = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head(self.out(t).mean(1))


def test_a_script_cuts_as_boldly_as_the_removal_did():
    torch.manual_seed(0)
    model = FourOfAll().eval()
    network = capture(model, torch.randn(1, 1, 8, 8))
    plan = Plan({g.key: [0] for g in network.groups if g.size == 4})
    case = Cut(model, network, plan, remove(model, network, plan))
    assert (case.removal.form, case.removal.bold, case.removal.model.heads) == ("module", True, 3)
    module = module_of(script(case))
    small = module.prune(model)
    assert small.heads == 3
    assert module.difference(module.outputs(small), module.outputs(module.silence(model))) < 1e-6
