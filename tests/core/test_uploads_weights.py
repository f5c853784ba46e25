"""Honest files of weights: every wrapping, format and architecture."""

import argparse
import io

import numpy as np
import pytest
import torch
from safetensors.torch import save

from pruning_core.errors import UserError
from pruning_core.storage.uploads import artifacts
from pruning_core.zoo import ARCHITECTURES, ModelRef, architecture, import_model, load_model, torchvision_models
from pruning_core.zoo.recognise import recognise, shapes_of
from tests.core.upload_files import images, network, saved

pytestmark = pytest.mark.usefixtures("one_thread")


def same(loaded, model, side=8):
    """The uploaded network and the one it was saved from give the same scores, also when loaded again."""
    x = images(model, channels=loaded.input_size[0], side=side)
    with torch.no_grad():
        return torch.equal(loaded.model(x), model(x))


def wrapped(model):
    """(name, content) of the ways that people save weights."""
    state = model.state_dict()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(images(model)).sum().backward()
    optimizer.step()
    for parameter in model.parameters():
        parameter.grad = None
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    settings = argparse.Namespace(lr=0.1, milestones=[1, 2])
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]).state_dict()
    prefixed = {f"module.{key}": tensor for key, tensor in state.items()}
    twice = {f"module._orig_mod.{key}": tensor for key, tensor in state.items()}
    numbers = {"best": np.float64(0.9), "epoch": np.int64(3), "loss": 0.1, "args": settings, "scheduler": scheduler}
    return {
        "bare": state,
        "bare parameters": {key: torch.nn.Parameter(t) if t.is_floating_point() else t for key, t in state.items()},
        "state_dict": {"state_dict": state, "epoch": 3},
        "net": {"net": prefixed, "acc": 91.2, "epoch": 3},
        "model_state_dict": {"model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(), **numbers},
        "model": {"model": twice, "optimizer": optimizer.state_dict()},
        "ema": {"ema_weights": state, "epoch": 3},
    }


KINDS = ("bare", "bare parameters", "state_dict", "net", "model_state_dict", "model", "ema")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_wrapping_is_understood(tmp_path, kind, legacy):
    model = network()
    content = wrapped(model)[kind]
    file = saved(content, _use_new_zipfile_serialization=not legacy)
    loaded = import_model(file, "weights.pth", tmp_path)
    assert loaded.title == "Small ResNet for digits from weights.pth"
    assert loaded.trained and loaded.num_classes == 10 and loaded.input_size == (1, 8, 8)
    assert same(loaded, model)
    again = load_model(ModelRef.from_json(loaded.ref.to_json()), tmp_path)
    assert same(again, model) and again.notes == loaded.notes and again.title == loaded.title
    if kind == "model":
        assert loaded.notes == ("weights taken from 'model'", "prefix 'module.' removed", "prefix '_orig_mod.' removed")


def test_what_is_kept_is_no_pickle(tmp_path):
    loaded = import_model(saved(network().state_dict()), "weights.pt", tmp_path)
    data = artifacts(tmp_path).read(loaded.ref.weights)
    assert data[8:9] == b"{"
    assert [path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == [loaded.ref.weights]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_safetensors_and_half_precision(tmp_path):
    model = network("digits_vgg")
    file = io.BytesIO(save({key: tensor.contiguous() for key, tensor in model.state_dict().items()}))
    assert same(import_model(file, "weights.safetensors", tmp_path), model)
    half = {key: t.half() if t.is_floating_point() else t for key, t in model.state_dict().items()}
    loaded = import_model(saved(half), "weights.pt", tmp_path)
    assert loaded.notes == ("weights stored as float16 are computed as float32",)
    assert all(t.dtype == torch.float32 for t in loaded.model.parameters())
    with torch.no_grad():
        x = images(model)
        assert torch.allclose(loaded.model(x), model(x), atol=0.02)


def test_views_and_shared_storages_are_restored(tmp_path):
    model = network()
    state = model.state_dict()
    flat = torch.cat([t.flatten() for t in state.values() if t.is_floating_point()])
    at, views = 0, {}
    for key, tensor in state.items():
        views[key] = tensor
        if tensor.is_floating_point():
            views[key] = flat[at : at + tensor.numel()].view(tensor.shape)
            at += tensor.numel()
    views["conv1.weight"] = state["conv1.weight"].to(memory_format=torch.channels_last)
    views["linear.weight"] = state["linear.weight"].t().contiguous().t()
    assert same(import_model(saved(views), "flat.pt", tmp_path), model)


@pytest.mark.parametrize("item", ARCHITECTURES, ids=lambda item: item.name)
def test_our_architectures_are_recognised_with_any_head_and_input(item):
    found = recognise(shapes_of(lambda: item.build(7, 1)))
    assert found.title == item.title and found.num_classes == 7 and found.input_size[0] == 1
    assert shapes_of(lambda: item.build(7, 1)) == shapes_of(lambda: item.family.build(**dict(found.options)))


def test_widths_that_no_named_architecture_has_are_inferred(tmp_path):
    item = architecture("digits_resnet")
    torch.manual_seed(0)
    model = item.family.build(blocks=(1, 2), widths=(6, 10), inner=(3, 4, 5), num_classes=4, in_channels=1).eval()
    loaded = import_model(saved(model.state_dict()), "narrow.pt", tmp_path, input_size=(1, 8, 8))
    assert loaded.title == "ResNet-8 (6/10 channels, projection shortcuts) from narrow.pt"
    assert loaded.num_classes == 4 and same(loaded, model)
    vgg = architecture("digits_vgg").family.build(plan=(5, 0, 7, 0), hidden=(9,), bias=False, in_channels=1).eval()
    loaded = import_model(saved(vgg.state_dict()), "narrow.pt", tmp_path, input_size=(1, 8, 8))
    assert loaded.title.startswith("VGG-4 with batch norm (5-7 channels)") and same(loaded, vgg)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "squeezenet1_1",
        "googlenet",
        "regnet_y_400mf",
        "swin_t",
        "mobilenet_v3_small",
        "densenet121",
        "vgg11",
    ],
)
def test_torchvision_classifiers_are_recognised(name):
    found = recognise(shapes_of(lambda: torchvision_models.build(name, 23)))
    assert (found.architecture, found.num_classes) == (name, 23)


def test_old_torchvision_checkpoints_load(tmp_path):
    """Before batch norm counted batches, and with DenseNet's old key names."""
    torch.manual_seed(0)
    state = torchvision_models.build("densenet121", 5).state_dict()
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    }
    assert any(".norm.1." in key for key in old)
    loaded = import_model(saved(old), "densenet.pth", tmp_path, input_size=(3, 64, 64))
    assert loaded.title == "densenet121 from densenet.pth" and "old key names brought up to date" in loaded.notes
    assert torch.equal(loaded.model.classifier.weight, state["classifier.weight"])


def test_the_auxiliary_heads_of_googlenet_may_be_there():
    found = recognise(shapes_of(lambda: torchvision_models.build("googlenet", 7, aux_logits=True)))
    assert found.architecture == "googlenet" and dict(found.options) == {"num_classes": 7, "aux_logits": True}


def test_a_chosen_architecture_is_used_or_the_difference_named(tmp_path):
    model = network()
    loaded = import_model(saved(model.state_dict()), "w.pt", tmp_path, architecture="digits_resnet")
    assert same(loaded, model)
    with pytest.raises(UserError, match=r"do not fit ResNet-20 \(missing: layer1.1.conv1.weight, .* and \d+ more"):
        import_model(saved(model.state_dict()), "w.pt", tmp_path, architecture="cifar_resnet20")
    with pytest.raises(UserError, match=r"do not fit resnet18 \(missing: .*unexpected: "):
        import_model(saved(model.state_dict()), "w.pt", tmp_path, architecture="resnet18")
    with pytest.raises(UserError, match="no classifier called 'nonsense'"):
        import_model(saved(model.state_dict()), "w.pt", tmp_path, architecture="nonsense")


def test_unknown_weights_name_the_nearest_architecture(tmp_path):
    torch.manual_seed(0)
    model = torchvision_models.build("resnet18", 10)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, bias=False)
    shape = r"nearest is resnet18 \(of another shape: conv1.weight \(64, 3, 7, 7\), found \(64, 3, 3, 3\)\)"
    with pytest.raises(UserError, match=f"{shape}.*torch.export.save"):
        import_model(saved(model.state_dict()), "w.pt", tmp_path)
    state = network().state_dict()
    state["layer4.extra.weight"] = state.pop("layer3.0.conv2.weight")
    with pytest.raises(UserError, match=r"no known architecture\. The nearest is .*missing: .*unexpected: "):
        import_model(saved(state), "w.pt", tmp_path)
    with pytest.raises(UserError, match="They begin with encoder"):
        import_model(saved({"encoder.weight": torch.ones(3, 4)}), "w.pt", tmp_path)


def test_an_input_size_that_does_not_suit_is_said(tmp_path):
    with pytest.raises(UserError, match="does not run on images of 3 x 8 x 8"):
        import_model(saved(network().state_dict()), "w.pt", tmp_path, input_size=(3, 8, 8))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    state = network().state_dict()
    state["bn1.running_var"][3] = value
    with pytest.raises(UserError, match=r"'bn1.running_var' in 'w.pt' has 1 weights that are not finite"):
        import_model(saved(state), "w.pt", tmp_path)
    assert not (tmp_path / "artifacts").exists()
