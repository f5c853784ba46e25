"""The script applies the plan with PyTorch alone, and checks itself."""

from __future__ import annotations

import ast
import dataclasses
import sys
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pruning_core.export import standalone
from pruning_core.export.builders import Builder, builder_of
from pruning_core.export.script import write_script
from pruning_core.export.weights import fingerprint, weights_bytes
from pruning_core.graph import Plan, capture, remove, silence
from pruning_core.zoo.demos import ASSETS, available_demos
from pruning_core.zoo.load import load_model
from pruning_core.zoo.ref import ModelRef
from tests.core.allocation_nets import Normed
from tests.core.export_nets import NETS, Attention, Cut, Residual, Written, cut, elsewhere, module_of, same, script

RESNET = ModelRef("demo", "digits_resnet", weights="demo")


@pytest.mark.parametrize("build", [net for net in NETS if net is not Written])
def test_a_script_makes_the_very_network_of_the_removal(build):
    case = cut(build)
    assert case.removal.form == "module"
    module = module_of(script(case))
    before = fingerprint(case.model.state_dict())
    small = module.prune(case.model)
    assert fingerprint(case.model.state_dict()) == before
    assert fingerprint(small.state_dict()) == fingerprint(case.removal.model.state_dict())
    assert [p.requires_grad for p in small.parameters()] == [p.requires_grad for p in case.removal.model.parameters()]
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(small(x), case.removal.model(x))
    assert repr(small) == repr(case.removal.model)  # sizes kept beside the tensors too
    assert len(list(small.parameters())) == len(list(case.removal.model.parameters()))  # shared ones are shared


@pytest.mark.parametrize("build", NETS)
def test_a_script_silences_what_the_plan_silences(build):
    case = cut(build)
    found = module_of(script(case)).silence(case.model)
    assert fingerprint(found.state_dict()) == fingerprint(silence(*case[:3]).state_dict())


@pytest.mark.parametrize("build", NETS)
def test_a_script_cuts_the_weights_alone_too(build):
    case = cut(build)
    small = module_of(script(case)).prune_state(case.model.state_dict())
    wanted = case.removal.model.state_dict()
    assert {name: tensor for name, tensor in wanted.items() if name in small}.keys() == small.keys()
    assert all(torch.equal(small[name], wanted[name]) for name in small)


def test_mended_weights_are_recorded_beside_the_cut_ones():
    case = cut(Residual)
    with torch.no_grad():
        case.removal.model.head.bias += 1.0
    module = module_of(script(case))
    assert module.TUNED["fingerprint"] == fingerprint(case.removal.model.state_dict())
    wanted = torch.tensor(module.ORIGINAL["outputs"])
    assert same(module.outputs(module.prune(case.model))[: len(wanted)], wanted)
    assert same(module.outputs(case.removal.model)[: len(wanted)], wanted + 1.0)


def test_both_fingerprints_are_one():
    state = Residual().state_dict()
    assert standalone.fingerprint(state) == fingerprint(state)


def test_a_script_refuses_another_network():
    module = module_of(script(cut(Residual)))
    with pytest.raises(module.Mismatch, match=r"has no stem\.weight"):
        module.prune(Attention())
    with pytest.raises(module.Mismatch, match=r"have no stem\.weight"):
        module.prune_state(Attention().state_dict())
    wider = Residual()
    wider.stem = nn.Conv2d(1, 20, 3)
    with pytest.raises(module.Mismatch, match="has size 20 along dimension 0; this plan was made for 16"):
        module.prune(wider)


def test_a_script_notices_a_network_that_computes_something_else():
    """The same tensors in another order of layers: the silenced network gives it away."""

    class Swapped(Residual):
        def forward(self, x):
            return super().forward(x) + self.stem.weight.shape[0]

    case = cut(Residual)
    module = module_of(script(case))
    other = Swapped()
    other.load_state_dict(case.model.state_dict())
    module.check(
        "fine", module.difference(module.outputs(module.prune(case.model)), module.outputs(module.silence(case.model)))
    )
    with pytest.raises(module.Mismatch, match="more than rounding"):
        module.check(
            "odd", module.difference(module.outputs(module.prune(other)), module.outputs(module.silence(other)))
        )


@pytest.mark.parametrize("demo", available_demos(), ids=lambda demo: demo.name)
def test_the_architecture_of_every_demo_is_in_its_script(demo):
    loaded = load_model(demo.ref)
    builder = builder_of(demo.ref)
    assert builder is not None
    assert builder.weights_file == demo.weights_path.name
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({network.groups[0].key: [0]})
    case = Cut(loaded.model, network, plan, remove(loaded.model, network, plan))
    text = script(case, builder=builder)
    assert "infer" not in text
    module = module_of(text)
    built = module.original(weights=str(demo.weights_path))
    assert fingerprint(built.state_dict()) == fingerprint(loaded.model.state_dict())
    assert torch.allclose(module.outputs(built), standalone.outputs(loaded.model, module.INPUT))


def test_torchvision_builders_need_no_weights_file():
    pretrained = builder_of(ModelRef("torchvision", "resnet18", weights="pretrained"))
    assert pretrained is not None
    assert "get_model('resnet18', weights='DEFAULT')" in pretrained.code
    assert pretrained.weights_file == ""
    ref = ModelRef("torchvision", "squeezenet1_1", weights="random", num_classes=5, seed=7)
    builder = builder_of(ref)
    assert builder is not None
    module = ModuleType("built")
    exec("import torch\nfrom torch import nn\n" + builder.code, module.__dict__)
    assert fingerprint(module.build().state_dict()) == fingerprint(load_model(ref).model.state_dict())


def test_uploads_are_built_from_what_was_recognised():
    options = (("blocks", (1, 1)), ("widths", (4, 8)), ("num_classes", 3), ("in_channels", 1))
    builder = builder_of(ModelRef("upload", "mine.pt", "0" * 64, "cifar_resnet", options))
    assert builder is not None
    assert "CifarResNet(blocks=(1, 1), widths=(4, 8), num_classes=3, in_channels=1)" in builder.code
    assert builder.weights_file == "mine.pt"
    aux = builder_of(ModelRef("upload", "g.pt", "0" * 64, "googlenet", (("num_classes", 4), ("aux_logits", True))))
    assert aux is not None
    assert "aux_logits=True" in aux.code
    assert builder_of(ModelRef("upload", "whole.pt2", "0" * 64, "exported")) is None
    assert builder_of(dataclasses.replace(RESNET, source="pruned", base=RESNET)) is None


def test_a_hostile_name_stays_text():
    title = 'x"""\nimport shlex; shlex.quote("owned") # \\'
    text = write_script(*cut(Residual), title=title, builder=Builder((), "build = None", 'a"""b\nc.pt'))
    tree = ast.parse(text)
    assert not any(
        alias.name == "shlex" for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    )
    assert "x___" in (ast.get_docstring(tree) or "")


def test_a_script_runs_in_a_fresh_process_on_the_demo_alone(tmp_path):
    """As a person has it: the script, the demo's weights and PyTorch; then the trained weights go in."""
    loaded = load_model(RESNET)
    network = capture(loaded.model, torch.zeros(1, 1, 8, 8))
    plan = Plan({group.key: range(group.size // 3) for group in network.groups})
    removal = remove(loaded.model, network, plan)
    tuned = remove(loaded.model, network, plan).model
    with torch.no_grad():
        tuned.linear.bias += 0.5
    text = write_script(
        loaded.model,
        network,
        plan,
        removal,
        title=loaded.title,
        builder=builder_of(RESNET),
        tuned=tuned,
        file="prune.py",
    )
    (tmp_path / "prune.py").write_text(text)
    (tmp_path / "tuned.safetensors").write_bytes(weights_bytes(tuned))
    (tmp_path / "digits_resnet.safetensors").write_bytes((ASSETS / "digits_resnet.safetensors").read_bytes())
    command = "python prune.py --weights digits_resnet.safetensors --out pruned.pt"
    assert command in text
    arguments = [*command.split()[1:], "--tuned", "tuned.safetensors"]
    printed = elsewhere(arguments, tmp_path)
    assert printed.count("of the largest output") == 3
    assert "other weights" not in printed
    state = torch.load(tmp_path / "pruned.pt", weights_only=True)
    assert fingerprint(state) == fingerprint(tuned.state_dict())


def test_a_script_takes_a_network_from_a_file_of_the_users(tmp_path):
    """An architecture that this project has no code for, other weights than those pruned, and safetensors out."""
    case = cut(Residual)
    (tmp_path / "prune.py").write_text(script(case))
    lines = ["import torch", "from torch import Tensor, nn", *_source(Residual), "def make():", "    return Residual()"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    torch.save(
        {"state_dict": {f"module.{k}": v + 0.01 for k, v in case.model.state_dict().items()}}, tmp_path / "w.pth"
    )
    printed = elsewhere(
        ["prune.py", "--model", "mine.py:make", "--weights", "w.pth", "--out", "pruned.safetensors"], tmp_path
    )
    assert "with the same channels silenced: they differ by" in printed
    assert "other weights than the recorded ones" in printed
    found = load_file(tmp_path / "pruned.safetensors")
    wanted = case.removal.model.state_dict()
    assert all(torch.allclose(found[k].double(), wanted[k].double() + 0.01) for k in wanted if "tracked" not in k)


def _source(cls: type) -> list[str]:
    import inspect

    return inspect.getsource(cls).splitlines()


def test_a_script_reads_an_exported_original(tmp_path):
    case = cut(Residual)
    batch = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(case.model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "original.pt2")
    module = module_of(script(case))
    with pytest.raises(module.Mismatch, match="--model"):
        module.original()
    whole = module.original(model=str(tmp_path / "original.pt2"))
    assert same(module.outputs(whole), module.outputs(case.model))


def test_an_approximate_plan_is_not_compared_with_a_silenced_network(monkeypatch, capsys, tmp_path):
    torch.manual_seed(0)
    model = Normed().eval()
    network = capture(model, torch.randn(1, 8))
    plan = Plan({g.key: [0] for g in network.groups})
    case = Cut(model, network, plan, remove(model, network, plan))
    module = module_of(script(case, builder=Builder((), "build = None")))
    module.build, module.BUILT_WITH_WEIGHTS = (lambda: model), True
    monkeypatch.setattr(sys, "argv", ["prune.py", "--out", str(tmp_path / "p.pt")])
    module.main()
    printed = capsys.readouterr().out
    assert "approximate" in printed
    assert "against the recorded outputs" in printed
