"""Architectures, references, demos and torchvision's classifiers."""

import dataclasses
import json

import pytest
import torch

from pruning_core.datasets import load_splits
from pruning_core.errors import UserError
from pruning_core.measuring.evaluate import evaluate
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import (
    ARCHITECTURES,
    DEMOS,
    ModelRef,
    architecture,
    available_demos,
    check_output,
    load_model,
    store_weights,
    torchvision_models,
    torchvision_names,
)
from pruning_core.zoo.output import look
from pruning_core.zoo.resnet import PadShortcut
from pruning_core.zoo.titles import called
from tools.train_demo import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMETERS = {  # K. He et al., table 6, in millions; the projection adds 0.01
    "cifar_resnet20_pad": 0.27,
    "cifar_resnet32_pad": 0.46,
    "cifar_resnet44_pad": 0.66,
    "cifar_resnet56_pad": 0.85,
    "cifar_resnet110_pad": 1.7,
}


@pytest.mark.parametrize("item", ARCHITECTURES, ids=lambda item: item.name)
def test_every_architecture_builds_for_grey_and_colour_and_any_classes(item):
    for channels, classes in ((1, 7), (3, 2)):
        model = item.build(classes, channels).eval()
        found = look(model, (channels, *item.input_size[1:]))
        assert (found.width, found.meaning.of_classes) == (classes, item.name != "text_gpt")
    assert not any(other is not item and other.name == item.name for other in ARCHITECTURES)


@pytest.mark.parametrize(("name", "millions"), PARAMETERS.items())
def test_parameters_are_those_of_the_paper(name, millions):
    count = sum(p.numel() for p in architecture(name).build().parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if millions > 1 else 0.01)


def test_the_padded_shortcut_is_the_papers_option_a():
    x = torch.randn(2, 16, 8, 8)
    out = PadShortcut(16, 32, 2)(x)
    assert out.shape == (2, 32, 4, 4)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().sum() == 0 and out[:, 24:].abs().sum() == 0


def test_keys_are_those_of_published_cifar_checkpoints():
    keys = architecture("cifar_resnet20_pad").build().state_dict().keys()
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer3.2.bn2.bias", "linear.bias"} <= keys
    assert not any("shortcut" in key for key in keys)
    assert "layer2.0.shortcut.0.weight" in architecture("cifar_resnet20").build().state_dict()
    assert {"features.0.weight", "features.1.running_mean", "classifier.weight"} <= (
        architecture("cifar_vgg16_bn").build().state_dict().keys()
    )


def test_references_survive_json_and_hash_by_value():
    base = ModelRef("upload", "a.pt", "f" * 64, "vgg_bn", (("plan", (8, 0)), ("num_classes", 3)), 3, (1, 8, 8))
    ref = ModelRef("pruned", "mine", "e" * 64, base=base, plan='{"conv":[1]}')
    again = ModelRef.from_json(ref.to_json())
    assert again == ref and hash(again) == hash(ref) and again.key == ref.key
    assert dataclasses.replace(ref, plan="{}").key != ref.key
    for text in ("", "[]", '{"$":"DataRef"}', '{"$":"ModelRef","source":"demo"}', "x"):
        with pytest.raises(UserError, match="not a stored reference"):
            ModelRef.from_json(text)
    with pytest.raises(UserError, match="no model source 'web'"):
        ModelRef("web", "x")
    with pytest.raises(UserError, match="names the network it was made from"):
        ModelRef("pruned", "x")
    with pytest.raises(UserError, match="no architecture called"):
        architecture("nothing")


@pytest.mark.parametrize("item", available_demos(), ids=lambda item: item.name)
def test_a_demo_is_what_its_provenance_says(item):
    loaded = load_model(item.ref)
    told = loaded.provenance
    assert loaded.trained and not loaded.model.training and loaded.num_classes == len(told["classes"])
    assert look(loaded.model, loaded.input_size).width == loaded.num_classes
    assert sum(p.numel() for p in loaded.model.parameters()) == told["parameters"]
    assert told["command"].startswith(f"python -m tools.train_demo {item.name}")
    assert {"accuracy", "seed", "recipe", "data", "date", "torch", "device"} <= told.keys()
    import hashlib

    assert hashlib.sha256(item.weights_path.read_bytes()).hexdigest() == told["weights_sha256"]
    assert item.weights_path.stat().st_size < 5_000_000


@pytest.mark.parametrize("name", ["digits_resnet", "digits_vgg"])
def test_the_accuracy_of_the_digits_demos_is_measured_again(name):
    (item,) = (demo for demo in available_demos() if demo.name == name)
    loaded = load_model(item.ref)
    _, test = load_splits(item.data)
    measured = evaluate(loaded.model, test).top1
    assert measured >= 0.98
    assert measured == pytest.approx(loaded.provenance["accuracy"]["test"], abs=1 / len(test))
    assert (test.mean, test.std) == (loaded.mean, loaded.std)
    told = dataclasses.asdict(dataclasses.replace(RECIPES[item.name], seed=item.seed, device="cpu"))
    recipe = {"layout": "contiguous"} | loaded.provenance["recipe"]  # older than the choice
    assert recipe == told and told["precision"] == "float32"  # so that any processor repeats it


def test_a_demo_without_files_is_not_offered(monkeypatch, tmp_path):
    monkeypatch.setattr("pruning_core.zoo.demos.ASSETS", tmp_path)
    assert available_demos() == ()
    with pytest.raises(UserError, match="train_demo digits_resnet"):
        load_model(DEMOS[0].ref)
    with pytest.raises(UserError, match="no demo called"):
        load_model(ModelRef("demo", "nothing"))


def test_each_load_gives_a_network_of_its_own():
    first, second = load_model(DEMOS[0].ref), load_model(DEMOS[0].ref)
    with torch.no_grad():
        first.model.linear.bias.fill_(7)
    assert not torch.equal(first.model.linear.bias, second.model.linear.bias)


def test_every_torchvision_classifier_is_offered_and_untrained_ones_say_so():
    assert len(torchvision_names()) >= 80 and "resnet18" in torchvision_names()
    ref = ModelRef("torchvision", "squeezenet1_1", weights="random", num_classes=5, seed=3)
    before = torch.get_rng_state()
    loaded = load_model(ref)
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.trained and "untrained" in loaded.title and "seed 3" in loaded.notes[0]
    assert check_output(loaded.model, (3, 64, 64)) == loaded.num_classes == 5
    again = load_model(ref).model.state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in loaded.model.state_dict().items())
    assert loaded.input_size == (3, 224, 224)
    assert torchvision_models.input_size("inception_v3") == (3, 299, 299)
    with pytest.raises(UserError, match="no classifier called 'fasterrcnn'"):
        load_model(ModelRef("torchvision", "fasterrcnn"))


def test_pretrained_weights_offline_give_the_reason(tmp_path, monkeypatch):
    from torchvision.models import SqueezeNet1_1_Weights

    weights = SqueezeNet1_1_Weights.DEFAULT
    away = dataclasses.replace(weights.value, url="http://127.0.0.1:9/squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setattr(weights, "_value_", away)
    with pytest.raises(UserError, match=r"weights of squeezenet1_1 could not be downloaded .*refused"):
        load_model(ModelRef("torchvision", "squeezenet1_1", weights="pretrained"), tmp_path)


def test_fetched_weights_are_verified_and_loaded(tmp_path, monkeypatch):
    """A stand-in for the published file, at the place and under the name it would have."""
    import hashlib

    from torchvision.models import SqueezeNet1_1_Weights

    torch.manual_seed(5)
    published = torchvision_models.build("squeezenet1_1")
    folder = tmp_path / "downloads" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(published.state_dict(), folder / "draft")
    digest = hashlib.sha256((folder / "draft").read_bytes()).hexdigest()[:8]
    (folder / "draft").rename(folder / f"squeezenet1_1-{digest}.pth")
    weights = SqueezeNet1_1_Weights.DEFAULT
    monkeypatch.setattr(
        weights, "_value_", dataclasses.replace(weights.value, url=f"http://127.0.0.1:9/squeezenet1_1-{digest}.pth")
    )
    ref = ModelRef("torchvision", "squeezenet1_1", weights="pretrained")
    hub = torch.hub.get_dir()
    loaded = load_model(ref, tmp_path)
    assert torch.hub.get_dir() == hub
    assert loaded.trained and loaded.num_classes == 1000 and loaded.input_size == (3, 224, 224)
    assert loaded.provenance["classes"][1] == "goldfish" and loaded.mean == (0.485, 0.456, 0.406)
    assert torch.equal(loaded.model.classifier[1].bias, published.classifier[1].bias)
    (folder / f"squeezenet1_1-{digest}.pth").write_bytes(b"damaged")
    with pytest.raises(UserError, match="was damaged and has been removed"):
        load_model(ref, tmp_path)
    assert list(folder.iterdir()) == []


def test_a_pruned_network_is_cut_again_from_its_plan(tmp_path):
    from pruning_core.graph import Plan, capture, remove

    base = load_model(DEMOS[0].ref)
    network = capture(base.model, torch.zeros(1, *base.input_size))
    group = next(group for group in network.groups if group.key == "layer1.0.conv1")
    plan = Plan().with_group(group.key, tuple(range(group.size // 2)))
    pruned = remove(base.model, network, plan).model
    with torch.no_grad():
        for parameter in pruned.parameters():
            parameter.add_(0.01)  # as fine-tuning would
    digest = store_weights(pruned.state_dict(), tmp_path)
    ref = ModelRef("pruned", "half", digest, base=DEMOS[0].ref, plan=plan.to_json())
    loaded = load_model(ModelRef.from_json(ref.to_json()), tmp_path)
    x = torch.randn(4, *base.input_size)
    with torch.no_grad():
        assert torch.equal(loaded.model(x), pruned.eval()(x))
    assert loaded.title == "half (pruned)" and loaded.model.layer1[0].conv1.out_channels == group.size // 2
    assert base.model.layer1[0].conv1.out_channels == group.size
    once = ModelRef("pruned", DEMOS[0].ref.name, base=DEMOS[0].ref, plan=plan.to_json())
    twice = ModelRef("pruned", once.name, base=once, plan=Plan({group.key: (0,)}).to_json())
    assert {load_model(each, tmp_path).title for each in (once, twice)} == {"ResNet on digits (pruned)"}
    for each in (ref, once, twice, *(item.ref for item in available_demos()[:2])):
        assert called(each) == load_model(each, tmp_path).title, "runs call it what the page calls it"
    assert EvaluateRun(once, DEMOS[0].data).title == "How good ResNet on digits (pruned) is on digits"


class Gives(torch.nn.Module):
    """Whatever ``result(x)`` makes of the images."""

    def __init__(self, result):
        super().__init__()
        self.result = result
        self.drop = torch.nn.Dropout()

    def forward(self, x):
        return self.result(x)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (lambda x: {"logits": [x], "aux": x}, r"a dictionary \(logits, aux\) instead of a tensor"),
        (lambda x: (None, x), "2 results instead of a tensor"),
        (lambda x: x, r"a map of 1 numbers at each of 8 × 8 places for an image; a classifier gives"),
        (lambda x: x.flatten(1)[:, :1], "at least two classes"),
        (lambda x: x.flatten(1).sum(0, keepdim=True).expand(1, 64), r"shape \(1, 64\)"),
        (lambda x: x.flatten(1) / 0, "not finite"),
        (lambda x: x.flatten(1).long(), "whole numbers"),
        (lambda x: x.view(-1, 7), "does not run on images of 1 x 8 x 8"),
    ],
)
def test_a_network_that_is_no_classifier_is_refused(result, sentence):
    model = Gives(result)
    with pytest.raises(UserError, match=sentence):
        check_output(model, (1, 8, 8))
    assert model.training and model.drop.training


def test_the_training_command_writes_what_it_measured(tmp_path, capsys):
    from tools.train_demo import main

    assert main(["digits_vgg", "--out", str(tmp_path), "--epochs", "2", "--images", "200", "--device", "cpu"]) == 0
    told = json.loads((tmp_path / "digits_vgg.json").read_text())
    assert told["recipe"]["epochs"] == 2 and told["data"]["training_images"] == 200
    assert told["command"] == "python -m tools.train_demo digits_vgg --epochs 2 --images 200"
    assert "epoch 2/2" in capsys.readouterr().out
    model = architecture("digits_vgg").build()
    from safetensors.torch import load_file

    model.load_state_dict(load_file(tmp_path / "digits_vgg.safetensors"))
    _, test = load_splits(DEMOS[1].data)
    assert evaluate(model, test).top1 == pytest.approx(told["accuracy"]["test"], abs=1 / len(test))
    assert main(["cifar_resnet20", "--data", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "There is no cifar10_train.zip" in capsys.readouterr().err
