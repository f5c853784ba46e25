"""What we write we read: every download of every outcome goes back in through the door and gives the same scores."""

from __future__ import annotations

import ast
import importlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pages.download import files
from pruning_core.errors import UserError
from pruning_core.export.document import read_document
from pruning_core.export.lineage import Cut, cut_of
from pruning_core.export.rebuild import rebuild
from pruning_core.export.recipe import read_recipe
from pruning_core.export.weights import weights_bytes
from pruning_core.graph import Plan, capture
from pruning_core.methods.projections import projections
from pruning_core.storage.weights import store_weights
from pruning_core.zoo import LoadedModel, ModelRef, import_model, load_model
from pruning_core.zoo.rebuilt import EDITS, told
from pruning_core.zoo.resnet import CifarResNet
from tests.core.detector_nets import SIDE, Spotter, as_program
from tests.core.keras_nets import CASES
from tests.core.test_keras_files import shuffled
from tests.core.upload_files import exported


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# -- networks of every source ------------------------------------------------------------------------------------------


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and scales that are not those of a new network: a wrong channel shows."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return model.eval()


class Tokens(nn.Module):
    """A small vision transformer: patches, a token of its own, packed attention, norms over the width."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 24, 4, 4), nn.Parameter(torch.randn(1, 1, 24))
        self.qkv, self.out, self.norm = nn.Linear(24, 72), nn.Linear(24, 24), nn.LayerNorm(24)
        self.first, self.second, self.head = nn.Linear(24, 40), nn.Linear(40, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(x.shape[0], -1, -1), t], 1)
        q, k, v = self.qkv(self.norm(t)).reshape(x.shape[0], -1, 3, 4, 6).permute(2, 0, 3, 1, 4)
        t = t + self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return self.head((t + self.second(self.first(t).relu()))[:, 0])


def demo(name: str) -> Callable[[Path], LoadedModel]:
    return lambda root: load_model(ModelRef("demo", name, weights="demo"), root)


def torchvision(name: str) -> Callable[[Path], LoadedModel]:
    def make(root: Path) -> LoadedModel:
        ref = ModelRef("torchvision", name, "random", num_classes=5, input_size=(3, 64, 64))
        model = lively(load_model(ref, root).model)
        digest = store_weights(model.state_dict(), root)
        return load_model(ModelRef("upload", name, digest, name, (("num_classes", 5),), 5, (3, 64, 64)), root)

    return make


def padded(root: Path) -> LoadedModel:
    """Zero-padded shortcuts: the weights do not say which channels they pad."""
    model = lively(CifarResNet((1, 1, 1), shortcut="pad"))
    return import_model(io.BytesIO(weights_bytes(model)), "mine.safetensors", root)


def projected(root: Path) -> LoadedModel:
    """With a projection at the end of every branch."""
    base = demo("digits_resnet")(root)
    found = projections(base.model, capture(base.model, torch.zeros(1, *base.input_size)))
    ref = ModelRef("rebuilt", base.ref.name, options=((EDITS, told(found)),), input_size=base.input_size, base=base.ref)
    return load_model(ref, root)


def program(root: Path) -> LoadedModel:
    torch.manual_seed(0)
    return import_model(exported(Tokens().eval(), torch.randn(2, 3, 16, 16)), "tokens.pt2", root)


def onnx(root: Path) -> LoadedModel:
    return import_model(io.BytesIO(files.onnx(program(root)).data), "tokens.onnx", root)


def keras(root: Path) -> LoadedModel:
    os.environ["KERAS_BACKEND"] = "torch"
    library: Any = importlib.import_module("keras")
    shuffled(CASES["squeeze and excite"](library)).save(root / "net.keras")
    return import_model(root / "net.keras", "net.keras", root)


def spotter(root: Path) -> LoadedModel:
    """A detector of three scales, decoded: anchors, strides and categories are part of the program."""
    return import_model(as_program(lively(Spotter())), "spotter.pt2", root, input_size=(3, SIDE, SIDE))


BASES: dict[str, Callable[[Path], LoadedModel]] = {
    "digits_resnet": demo("digits_resnet"),
    "digits_vgg": demo("digits_vgg"),
    "text_gpt": demo("text_gpt"),
    "padded": padded,
    "projected": projected,
    "resnet18": torchvision("resnet18"),
    "mobilenet_v3_small": torchvision("mobilenet_v3_small"),
    "shufflenet": torchvision("shufflenet_v2_x0_5"),
    "tokens.pt2": program,
    "tokens.onnx": onnx,
    "net.keras": keras,
    "spotter.pt2": spotter,
}
# A few seconds each, because each file is written, read and run; more of the same is slow.
OUTCOMES = [
    ("digits_resnet", 1, True), ("padded", 2, True), ("tokens.pt2", 1, True),
    ("projected", 1, True), ("net.keras", 1, True), ("text_gpt", 1, True),
    *(
        pytest.param(*each, marks=pytest.mark.slow)
        for each in (
            ("digits_resnet", 0, False), ("digits_resnet", 1, False), ("digits_resnet", 2, True),
            ("digits_vgg", 1, True), ("padded", 1, False), ("padded", 1, True), ("padded", 2, False),
            ("tokens.onnx", 1, False), ("spotter.pt2", 1, True), ("resnet18", 1, True),
            ("mobilenet_v3_small", 1, True), ("shufflenet", 1, True),
        )
    ),
]  # fmt: skip


def outcome(base: LoadedModel, times: int, tuned: bool, root: Path) -> LoadedModel:
    """``base`` cut so many times, a third of every exact group each; ``tuned`` stands for training after the last."""
    for number in range(times):
        network = capture(base.model, torch.zeros(1, *base.input_size))
        generator = torch.Generator().manual_seed(number)
        plan = Plan(
            {
                g.key: torch.randperm(g.size, generator=generator)[: max(1, g.size // 3)].tolist()
                for g in network.groups
                if g.exact
            }
        )
        base = load_model(ModelRef("pruned", base.ref.name, base=base.ref, plan=plan.to_json()), root)
    if tuned:
        with torch.no_grad():
            for parameter in base.model.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
        digest = store_weights(base.model.state_dict(), root)
        ref = base.ref
        base = load_model(ModelRef(ref.source, ref.name, digest, base=ref.base, plan=ref.plan), root)
    return base


def scores(model: nn.Module, size: tuple[int, int, int]) -> Tensor:
    x = torch.rand(3, *size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found: Tensor = model.eval()(x)
    return found


def same(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())


def module_of(text: str) -> ModuleType:
    module = ModuleType("prune")
    exec(compile(ast.parse(text), "prune.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(("base", "times", "tuned"), OUTCOMES)
def test_every_download_comes_back(tmp_path, monkeypatch, base, times, tuned):
    monkeypatch.chdir(tmp_path)
    whole = BASES[base](tmp_path)
    small = outcome(whole, times, tuned, tmp_path)
    wanted = scores(small.model, small.input_size)
    rebuilt = base not in ("tokens.pt2", "tokens.onnx", "net.keras", "spotter.pt2")

    written = {"pt2": files.program(small), "onnx": files.onnx(small), "safetensors": files.weights(small)}
    if base.endswith(".keras"):
        written["keras"] = files.keras(small, tmp_path)
    for kind, built in written.items():
        if kind == "safetensors" and not rebuilt:
            with pytest.raises(UserError, match="fit no known architecture"):
                import_model(io.BytesIO(built.data), built.name, tmp_path)
            continue
        back = import_model(io.BytesIO(built.data), built.name, tmp_path)
        again = load_model(ModelRef.from_json(back.ref.to_json()), tmp_path)
        for each in (back, again):
            assert same(scores(each.model, small.input_size), wanted), kind
        assert back.num_classes == small.num_classes
        if kind == "safetensors":
            assert any("built again from what the file says" in note for note in back.notes)
    if not times:
        return

    cut = cut_of(small, lambda ref: load_model(ref, tmp_path))
    document = files.document(cut, written["safetensors"].data)
    assert ("with a changed build" in files.how_to_build(cut.base.ref)) == (base == "projected")
    first = load_model(cut.base.ref, tmp_path).model
    read = read_document(files.plan(cut, document).data.decode())
    assert same(scores(rebuild(first, read, written["safetensors"].data), small.input_size), wanted)
    _, removal = read_recipe(files.recipe(cut, document).data.decode()).apply(cut.base.model)
    assert same(scores(removal.model, small.input_size), scores(cut.removal.model, small.input_size))

    script = module_of(files.script(cut).data.decode())
    given = original(cut, tmp_path)
    (tmp_path / "tuned.safetensors").write_bytes(written["safetensors"].data)
    for out in ("small.safetensors", "small.pt"):
        monkeypatch.setattr(sys, "argv", ["prune.py", *given, "--tuned", "tuned.safetensors", "--out", out])
        script.main()
        # weights of a program are no file for the door, but for the script's own operators
        back = import_model(tmp_path / out, out, tmp_path).model if rebuilt else script.Program(script.load_state(out))
        assert same(scores(back, small.input_size), wanted), out


def test_what_came_back_is_written_and_cut_again(tmp_path):
    small = outcome(padded(tmp_path), 1, True, tmp_path)
    back = import_model(io.BytesIO(files.weights(small).data), "once.safetensors", tmp_path)
    wanted = scores(small.model, small.input_size)
    onwards = import_model(io.BytesIO(files.weights(back).data), "once more.safetensors", tmp_path)
    assert same(scores(onwards.model, small.input_size), wanted)
    further = outcome(back, 1, False, tmp_path)
    thrice = import_model(io.BytesIO(files.weights(further).data), "further.safetensors", tmp_path)
    assert same(scores(thrice.model, small.input_size), scores(further.model, small.input_size))


def original(cut: Cut, root: Path) -> list[str]:
    """What a person passes to the script for the network before the cut: the file of the page, or their own."""
    offered = files.original(cut)
    if offered is None:
        torch.save(cut.base.model.state_dict(), root / "original.pt")
        return ["--weights", "original.pt"]
    (root / offered.name).write_bytes(offered.data)
    return ["--weights", offered.name]
