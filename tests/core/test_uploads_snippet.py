"""Weights of an architecture that nobody knows here come with the code that loads them into the user's own class."""

import ast
import importlib
import io
import sys

import pytest
import torch
from safetensors.torch import save

from pruning_core.errors import UserError
from pruning_core.zoo import import_model, load_model
from pruning_core.zoo.factory import VARIABLE, factory_ref
from tests.core.hostile_pickles import program, tensor
from tests.core.upload_files import checkpoint_of_pickle, saved

pytestmark = pytest.mark.usefixtures("one_thread")

CODE = """
from torch import nn

class MyNetwork(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.flat = nn.Flatten()
        self.fc = nn.Linear(24, 7)
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The user's network, whose class stands in a file of theirs beside the weights."""
    (tmp_path / "my_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    torch.manual_seed(0)
    yield importlib.import_module("my_code").MyNetwork().eval()
    for module in ("my_code", "my_network"):
        sys.modules.pop(module, None)


def told(root, name, data):
    with pytest.raises(UserError, match="no known architecture") as caught:
        import_model(io.BytesIO(data), name, root / "data")
    return caught.value.snippet


def before(prefix, state):
    return {prefix + key: value for key, value in state.items()}


WRAPPED = {
    "bare": lambda state: state,
    "in a checkpoint": lambda state: {"state_dict": state, "epoch": 3},
    "wrapped": lambda state: {"model": before("module._orig_mod.", state)},
    "deep, with company": lambda state: {"ema": {"module": {**state, "step": 7}}, "epoch": 3},
    "compiled inside": lambda state: {key.replace("stem.", "stem._orig_mod."): value for key, value in state.items()},
    "counted": lambda state: {**state, "total_ops": torch.ones(1), "fc.total_params": torch.ones(1)},
    "arrays": lambda state: {key: value.numpy() for key, value in state.items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_code_loads_the_very_weights(tmp_path, monkeypatch, model, kind):
    data = saved(WRAPPED[kind](model.state_dict())).getvalue()
    code = told(tmp_path, "mine.pth", data)
    (tmp_path / "mine.pth").write_bytes(data)
    check(tmp_path, monkeypatch, model, code)
    assert ("weights_only=False" in code) == (kind == "arrays"), "only where torch's safe reader knows too little"


def test_the_code_for_safetensors(tmp_path, monkeypatch, model):
    data = save(before("net.", model.state_dict()))
    code = told(tmp_path, "mine.safetensors", data)
    (tmp_path / "mine.safetensors").write_bytes(data)
    check(tmp_path, monkeypatch, model, code)


def check(root, monkeypatch, model, code):
    """Written to a file and named at the start, as its first line says, it gives the network that was saved."""
    assert "make run MODEL=my_network:network" in code.splitlines()[0]
    assert "'stem.weight'" in code and "(6, 2, 3, 3)" in code and "(7, 24)" in code
    assert "'stem.weight' reads 2 channels, 'fc.weight' gives 7 numbers" in code
    (root / "my_network.py").write_text(code.replace("(2, 224, 224)", "(2, 8, 8)"))
    importlib.invalidate_caches()
    torch.manual_seed(1)
    monkeypatch.setenv(VARIABLE, "my_network:network")
    loaded = load_model(factory_ref("my_network:network"))
    assert (loaded.input_size, loaded.num_classes) == ((2, 8, 8), 7)
    x = torch.rand(3, 2, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded.model(x), model(x))


@pytest.mark.parametrize("word", ["x'); import os; ('", "a\nimport os\n#", "\u2028import os", '"""', "{facts}", "\\"])
def test_nothing_of_the_file_becomes_code(tmp_path, word):
    """The user will run it: whatever the file's keys say stays text."""
    state = {f"{word}.weight": tensor((2, 2), (2, 1))}
    file = checkpoint_of_pickle(program({word: state, "arch": word}), {"0": bytes(16)})
    code = told(tmp_path, f"w{word.replace('/', '')}.pth", file.getvalue())
    tree = ast.parse(code)
    assert [type(node) for node in tree.body] == [ast.Import, ast.ImportFrom, ast.FunctionDef]
    assert {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} == {"torch"}
    assert len(tree.body[2].body) == 6
    lines = [line for line in code.splitlines() if line]
    assert all(line.startswith(("#", "import torch", "from my_code", "def ", "    ")) for line in lines)


def test_what_the_file_calls_itself_is_passed_on(tmp_path):
    data = saved({"arch": "vit_small_patch16_224", "state_dict": {"cls.weight": torch.ones(3, 4)}}).getvalue()
    assert "it calls itself 'vit_small_patch16_224'" in told(tmp_path, "w.pth", data)


def test_other_refusals_bring_no_code(tmp_path):
    with pytest.raises(UserError) as caught:
        import_model(saved({"epoch": 3}), "w.pth", tmp_path)
    assert caught.value.snippet == ""
