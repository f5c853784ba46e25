"""Batch norms and dropout of exported programs are layers again: they follow train and eval mode, and are trained."""

from __future__ import annotations

import copy
import io
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.graph import Plan, capture, remove
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.loop import fine_tune
from pruning_core.training.recalibrate import keeping_statistics, recalibrate
from pruning_core.zoo import LoadedModel, import_model, load_model
from pruning_core.zoo.ref import ModelRef
from tests.core.upload_files import exported

pytestmark = pytest.mark.usefixtures("one_thread")


class Layers(nn.Module):
    """Every layer that behaves differently in training; one norm is used twice, one has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6, 1e-3, 0.3), nn.Dropout2d(0.2)
        self.again, self.plain = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6, affine=False)
        self.head, self.last, self.flat = nn.Linear(6, 6), nn.Dropout(0.4), nn.BatchNorm1d(6)
        self.mean, self.var = nn.Buffer(torch.full((6,), 0.1)), nn.Buffer(torch.full((6,), 2.0))
        self.scale, self.shift, self.none = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6)), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(self.again(self.norm(self.conv(x)).relu()))).relu()
        x = nn.functional.batch_norm(self.plain(x), self.mean, self.var, self.scale, self.shift, self.training)
        return self.last(self.none(self.flat(self.head(x.mean((2, 3))))))


def net(build: type[nn.Module] = Layers) -> nn.Module:
    torch.manual_seed(0)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def brought(model: nn.Module, tmp_path: Path, *, core: bool = False, name: str = "net.pt2") -> LoadedModel:
    """``model`` exported and uploaded; ``core`` in the smallest vocabulary of operators."""
    x = torch.randn(4, 1, 8, 8)
    if not core:
        return import_model(exported(model, x), name, tmp_path)
    file = io.BytesIO()
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program.run_decompositions(), file)
    return import_model(file, name, tmp_path)


@pytest.mark.parametrize("core", [False, True], ids=["as exported", "core operators"])
def test_layers_that_follow_the_mode_are_layers_again(tmp_path, core):
    model = net()
    loaded = brought(model, tmp_path, core=core)
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(loaded.model(x), model(x), atol=1e-5)
    norms = keeping_statistics(loaded.model)
    assert sorted(type(norm).__name__ for norm in norms) == ["BatchNorm1d", "BatchNorm2d", "BatchNorm2d", "BatchNorm2d"]
    assert (loaded.model.norm.eps, loaded.model.norm.momentum) == (1e-3, 0.3)
    assert "follow train and eval mode" in loaded.notes[0] and ("dropout" in loaded.notes[0]) != core
    if not core:
        kinds = [type(m).__name__ for m in loaded.model.modules() if "Dropout" in type(m).__name__]
        assert sorted(kinds) == ["Dropout", "Dropout2d"]


def test_training_moves_the_statistics_as_it_does_in_the_network_itself(tmp_path):
    model = net()
    theirs = brought(model, tmp_path).model
    for each in (model, theirs):
        each.train()
        torch.manual_seed(1)
        each(torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(2)))
    state = theirs.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.allclose(state.get(name, state.get(f"batch_norm.{name}", tensor)), tensor, atol=1e-6), name
    assert int(theirs.norm.num_batches_tracked) == 2
    for each in (model, theirs):
        each.eval()
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(theirs(x), model(x), atol=1e-5)
    measured = recalibrate(theirs, [torch.randn(16, 1, 8, 8)])
    assert not torch.equal(measured.norm.running_mean, theirs.norm.running_mean)


def test_a_program_exported_in_training_mode_is_evaluated_all_the_same(tmp_path):
    model = net().train()
    loaded = brought(model, tmp_path)
    assert "in training mode" in loaded.notes[0]
    model.eval()
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(loaded.model(x), model(x), atol=1e-5)
        assert torch.equal(loaded.model(x), loaded.model(x))


def test_names_of_tensors_stay(tmp_path):
    class Own(nn.BatchNorm2d):
        """A norm with something of its own beside the usual tensors."""

        def __init__(self) -> None:
            super().__init__(6)
            self.factor = nn.Parameter(torch.full((1,), 2.0))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.factor

    model = nn.Sequential(nn.Conv2d(1, 6, 3), Own(), nn.Flatten(), nn.Linear(216, 3)).eval()
    loaded = brought(model, tmp_path)
    assert loaded.model.state_dict().keys() == model.state_dict().keys()
    assert {n for n, _ in loaded.model.named_parameters()} == {n for n, _ in model.named_parameters()}


def test_cutting_keeps_the_layers(tmp_path):
    loaded = brought(net(), tmp_path)
    network = capture(loaded.model, torch.zeros(1, 1, 8, 8))
    assert network.groups
    removal = remove(loaded.model, network, Plan({g.key: [0, 1] for g in network.groups}))
    assert len(keeping_statistics(removal.model)) == 4
    assert removal.proof.max_rel < 1e-4


def small(model: nn.Module, by: float) -> nn.Module:
    """The same function with weights ``by`` times as large before every norm, as weight decay leaves them behind."""
    model = copy.deepcopy(model)
    modules = list(model.modules())
    for conv, norm in itertools.pairwise(modules):
        if isinstance(norm, nn.BatchNorm2d):
            assert isinstance(conv, nn.Conv2d)
            for tensor in conv.parameters():
                tensor.data *= by
            norm.running_mean *= by
            norm.running_var *= by**2
            norm.eps *= by**2
    return model


def test_an_epoch_with_the_usual_settings_does_not_end_in_no_number(tmp_path):
    """With statistics that stand still, every step would be magnified by what the norms divide by."""
    chosen = load_model(ModelRef("demo", "digits_vgg", weights="demo"))
    loaded = brought(small(chosen.model, 0.3), tmp_path)
    train, test = load_splits(DIGITS)
    fit, held_out = hold_out(train, DIGITS)
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(loaded.model(x), chosen.model.eval()(x), atol=1e-3)
    events = list(fine_tune(loaded.model, fit, test, FineTune(epochs=1, device="cpu"), held_out=held_out))
    last = [event for event in events if isinstance(event, Epoch)][-1]
    assert last.epoch == 1 and last.loss < 0.1 and last.train_loss is not None and last.train_loss < 0.1
