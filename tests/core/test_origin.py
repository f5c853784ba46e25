"""Weights say which network they belong to and how it was cut; what shapes cannot tell is never guessed."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.export import standalone
from pruning_core.export.weights import KEY, origin_metadata, weights_bytes
from pruning_core.graph import Plan, capture, remove
from pruning_core.zoo import DEMOS, import_model, load_model
from pruning_core.zoo.origin import Cut, Origin, scores_of, structure
from pruning_core.zoo.ref import ModelRef
from pruning_core.zoo.resnet import CifarResNet
from tests.core.upload_files import saved

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (3, 32, 32)


def padded(*widths: int) -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet((1, 1, 1), widths or (16, 32, 64), shortcut="pad").eval()


def removed(model: nn.Module, share: int, first: int = 0) -> nn.Module:
    network = capture(model, torch.zeros(1, *SIZE))
    return remove(model, network, Plan({g.key: range(first, first + g.size // share) for g in network.groups})).model


def brought(data: bytes, tmp_path: Any, name: str = "w.safetensors") -> Any:
    return import_model(io.BytesIO(data), name, tmp_path)


def test_padding_that_weights_do_not_tell_is_not_guessed(tmp_path):
    small = removed(padded(), 3)
    for data in (weights_bytes(small), saved(dict(small.state_dict())).getvalue()):
        with pytest.raises(UserError, match=r"fill up with zeros, and its widths \(11/22/44\) are not the usual ones"):
            brought(data, tmp_path)
    assert brought(weights_bytes(padded()), tmp_path).title.startswith("ResNet-8")


@pytest.mark.parametrize("first", [0, 3])
def test_weights_that_came_to_the_usual_widths_by_a_cut_are_not_taken_for_them(tmp_path, first):
    """Half of 32/64/128 channels: the shapes are those of the published network, the padding is another."""
    small = removed(padded(32, 64, 128), 2, first)
    usual = padded()
    assert {k: v.shape for k, v in small.state_dict().items()} == {k: v.shape for k, v in usual.state_dict().items()}
    with pytest.raises(UserError, match="were written from another one"):
        brought(weights_bytes(small), tmp_path)


def test_settings_beside_the_weights_are_part_of_what_a_file_says(tmp_path):
    same = padded()
    assert structure(same) == structure(padded())
    same.conv1.stride = (2, 2)
    assert structure(same) != structure(padded())
    with pytest.raises(UserError, match="were written from another one"):
        brought(weights_bytes(same), tmp_path)


def origin_of_padded() -> tuple[Origin, nn.Module]:
    model = padded()
    network = capture(model, torch.zeros(1, *SIZE))
    plan = Plan({g.key: range(g.size // 3) for g in network.groups})
    removal = remove(model, network, plan)
    options = {"blocks": (1, 1, 1), "shortcut": "pad", "num_classes": 10, "in_channels": 3}
    cut = Cut(plan, removal.form, removal.bold)
    made = Origin("cifar_resnet", tuple(options.items()), SIZE, (cut,), scores_of(removal.model, SIZE))
    return made, removal.model


def test_what_a_file_says_comes_back_and_builds_the_network():
    origin, small = origin_of_padded()
    again = Origin.from_json(origin.to_json(), "w")
    assert again == origin
    rebuilt = again.model()
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {k: v.shape for k, v in small.state_dict().items()}
    rebuilt.load_state_dict(small.state_dict())
    assert again.check(rebuilt, "w") < 1e-5


def test_weights_that_give_other_scores_than_the_file_says_are_refused(tmp_path):
    origin, small = origin_of_padded()
    assert brought(weights_bytes(small, {KEY: origin.to_json()}), tmp_path).num_classes == 10
    (cut,) = origin.cuts
    # as many channels from the other end: the same shapes, and other channels that are filled up with zeros
    sizes = {group.key: group.size for group in capture(padded(), torch.zeros(1, *SIZE)).groups}
    turned = Plan({key: [sizes[key] - 1 - unit for unit in units] for key, units in cut.plan.items()})
    wrong = replace(origin, cuts=(replace(cut, plan=turned),))
    with pytest.raises(UserError, match="the network rebuilt by that gives other scores"):
        brought(weights_bytes(small, {KEY: wrong.to_json()}), tmp_path)


HOSTILE: dict[str, Any] = {
    "no JSON": "{",
    "deep": "[" * 100_000,
    "another format": {"format": "x"},
    "later": {"version": 99},
    "not built here": {"architecture": "os.system"},
    "unknown option": {"options": {"blocks": [1, 1, 1], "shortcut": "pad", "weights": "DEFAULT"}},
    "a very deep network": {"options": {"blocks": [10**6, 1, 1], "num_classes": 10, "in_channels": 3}},
    "a very long one": {"options": {"blocks": [1] * 5000, "widths": [1] * 5000, "num_classes": 10, "in_channels": 3}},
    "a very wide network": {"options": {"blocks": [1, 1, 1], "widths": [10**9] * 3, "num_classes": 10}},
    "wide enough to fill the memory": {
        "options": {"blocks": [9, 9, 9], "widths": [30000] * 3, "num_classes": 10, "in_channels": 3}
    },
    "nothing": {"options": {"blocks": [1, 1, 1], "widths": [0, 0, 0], "num_classes": 10, "in_channels": 3}},
    "text for a number": {"options": {"blocks": "111", "num_classes": 10, "in_channels": 3}},
    "a huge image": {"input_size": [3, 10**9, 10**9]},
    "another plan": {"cuts": [{"plan": {"layer9": [0]}, "form": "module", "bold": True}]},
    "units that are not there": {"cuts": [{"plan": {"conv1": [10**9]}, "form": "module", "bold": True}]},
    "no units": {"cuts": [{"plan": {"conv1": "all"}, "form": "module", "bold": True}]},
    "many removals": {"cuts": [{"plan": {}, "form": "module", "bold": True}] * 100_000},
    "scores that are none": {"scores": ["x"]},
    "scores of another network": {"scores": [1.0] * 20},
    "infinite scores": {"scores": [1e999] * 20},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_file_says_is_judged_before_anything_is_built(tmp_path, what):
    origin, small = origin_of_padded()
    edit = HOSTILE[what]
    text = edit if isinstance(edit, str) else json.dumps({**json.loads(origin.to_json()), **edit})
    with pytest.raises(UserError, match=r"w\.safetensors|plan|units|group"):
        brought(weights_bytes(small, {KEY: text}), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_checkpoint_of_torch_carries_it_where_others_do_not_look(tmp_path, monkeypatch):
    origin, small = origin_of_padded()
    monkeypatch.setattr(standalone, "ORIGIN", replace(origin, scores=()).to_json())
    for file in ("small.pt", "small.safetensors"):
        standalone.save_state(small.state_dict(), str(tmp_path / file), origin.to_json())
        loaded = import_model(tmp_path / file, file, tmp_path)
        x = torch.randn(2, *SIZE)
        with torch.no_grad():
            assert torch.allclose(loaded.model(x), small(x), atol=1e-5)
    plain = torch.load(tmp_path / "small.pt", weights_only=True)
    assert plain.keys() == small.state_dict().keys()
    small.load_state_dict(plain)


def test_both_ways_to_ask_for_scores_are_one():
    model = padded()
    wanted = standalone.outputs(model, (2, *SIZE))
    assert torch.allclose(torch.tensor(scores_of(model, SIZE), dtype=torch.float64), wanted, rtol=1e-6)


def test_published_weights_that_read_images_their_own_way_say_so():
    other = load_model(DEMOS[0].ref)  # whichever network gives the scores
    published = replace(other, ref=ModelRef("torchvision", "inception_v3", weights="pretrained"))
    said = json.loads(origin_metadata(published)[KEY])
    assert said["options"]["transform_input"] is True
