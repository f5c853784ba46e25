"""What people send as a repository of Hugging Face: what is told of it, and what is refused with a sentence."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image

from pruning_core.errors import UserError
from pruning_core.zoo import LoadedModel, import_model
from pruning_core.zoo.huggingface_files import library as library_module
from pruning_core.zoo.huggingface_files.pixels import pixels
from pruning_core.zoo.ref import ModelRef
from pruning_core.zoo.uploads import SUFFIXES
from tests.core.huggingface_nets import VIT, changed, classifier, files_of, zipped

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = ["cat", "dog", "emu", "fox", "gnu"]
X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def vit() -> Any:
    return classifier("vit", id2label=dict(enumerate(LABELS)), label2id={name: at for at, name in enumerate(LABELS)})


@pytest.fixture(scope="module")
def files(vit: Any) -> dict[str, bytes]:
    return files_of(vit, {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2] * 3})


def brought(files: dict[str, bytes], root: Path, folder: str = "") -> LoadedModel:
    return import_model(io.BytesIO(zipped(files, folder)), "mine.zip", root)


def refused(files: dict[str, bytes], root: Path) -> str:
    with pytest.raises(UserError) as said:
        brought(files, root)
    return str(said.value)


# -- what is read ------------------------------------------------------------------------------------------------------


def test_names_size_mean_and_deviation_come_with_it(vit: Any, files: dict[str, bytes], tmp_path: Path) -> None:
    found = brought(files, tmp_path, "vit-main/")
    assert found.provenance["classes"] == tuple(LABELS) and found.input_size == (3, 32, 32)
    assert found.mean == pytest.approx((0.5, 0.4, 0.3)) and found.std == pytest.approx((0.2,) * 3)
    assert found.title == "ViTForImageClassification from mine.zip" and ".zip" in SUFFIXES
    assert ModelRef.from_json(found.ref.to_json()) == found.ref
    with torch.no_grad():
        assert torch.equal(found.model(X), vit(X).logits)


def test_shards_are_one_network(vit: Any, tmp_path: Path) -> None:
    files = files_of(vit, max_shard_size="8KB")
    assert sum(name.endswith(".safetensors") for name in files) > 1 and WEIGHTS not in files
    with torch.no_grad():
        assert torch.equal(brought(files, tmp_path).model(X), vit(X).logits)


def test_weights_under_names_of_older_versions_find_their_places(vit: Any, tmp_path: Path) -> None:
    """Repositories are years old; who saves today still writes the names of then."""
    files = files_of(vit)
    keys = set(safetensors.torch.load(files[WEIGHTS]))
    assert keys != set(vit.state_dict())
    with torch.no_grad():
        assert torch.equal(brought(files, tmp_path).model(X), vit(X).logits)


def test_half_precision_is_computed_as_float32(files: dict[str, bytes], tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in safetensors.torch.load(files[WEIGHTS]).items()}
    found = brought({**files, WEIGHTS: safetensors.torch.save(halves)}, tmp_path)
    assert next(found.model.parameters()).dtype == torch.float32
    assert "weights stored as float16 are computed as float32" in found.notes


def test_a_class_of_two_teachers_gives_its_scores(tmp_path: Path) -> None:
    own = transformers.DeiTForImageClassificationWithTeacher(
        transformers.DeiTConfig(**VIT, intermediate_size=40, num_labels=5)
    ).eval()
    with torch.no_grad():
        assert torch.equal(brought(files_of(own), tmp_path).model(X), own(X).logits)


def test_code_that_a_config_names_is_never_run(files: dict[str, bytes], tmp_path: Path) -> None:
    named = {"AutoModelForImageClassification": "evil.Evil", "AutoConfig": "evil.Config"}
    sent = changed({**files, "evil.py": b"open('was run', 'w')"}, auto_map=named)
    found = brought(sent, tmp_path)
    assert any("never runs" in note for note in found.notes) and "evil" not in sys.modules
    sentence = refused(changed(sent, model_type="evil"), tmp_path)
    assert "auto_map" in sentence and "never run" in sentence and ".pt2" in sentence


@pytest.mark.parametrize(
    "said",
    [
        {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]},
        {"do_normalize": False},
        {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]},
        {"rescale_factor": 1 / 127.5, "image_mean": [0.9, 1.0, 1.1], "image_std": [0.5] * 3},
    ],
    ids=["usual", "no normalising", "no rescaling", "another factor"],
)
def test_mean_and_deviation_do_what_transformers_does(said: dict[str, Any]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    wanted = transformers.ViTImageProcessor(do_resize=False, **said)(Image.fromarray(picture), return_tensors="np")
    told = pixels(said)
    found = (picture / 255 - np.array(told.mean)) / np.array(told.std)
    assert np.allclose(found.transpose(2, 0, 1), wanted["pixel_values"][0], atol=1e-4)


@pytest.mark.parametrize(
    ("said", "side"),
    [
        ({"size": 384}, (384, 384)),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 192}, "do_center_crop": True},
         (224, 192)),
        ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": False}, (256, 256)),
        ({"size": {"height": -1, "width": 9}}, None),
        ({"size": 10**9}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_side_is_that_of_the_prepared_image(said: dict[str, Any], side: tuple[int, int] | None) -> None:
    assert pixels(said).side == side


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "bert"}, "model_type is 'bert'"),
        ({"model_type": None}, "model_type is none"),
        ({"model_type": "timm_wrapper", "architecture": "hf-hub:evil/net"}, "model_type is 'timm_wrapper'"),
        ({"architectures": ["ViTForMaskedImageModeling"]}, "ViTForMaskedImageModeling, no image classifier"),
        ({"architectures": [["x"]]}, "no image classifier"),
        ({"quantization_config": {"quant_method": "gptq"}}, "are quantised"),
        ({"hidden_size": 10**9}, "sets 'hidden_size' to what no network has"),
        ({"num_hidden_layers": 65_000}, "of more numbers than its weights have"),
        ({"intermediate_size": 65_000, "hidden_size": 60_000}, "of more numbers than its weights have"),
        ({"hidden_size": "large"}, "builds no ViTForImageClassification"),
        ({"hidden_size": 25}, "of another shape"),
        ({"num_hidden_layers": 1}, "unexpected: vit.layers.1."),
        ({"num_hidden_layers": 3}, "missing: vit.layers.2."),
        ({"hidden_act": "os.system"}, "builds no ViTForImageClassification"),
        ({"hidden_dropout_prob": float("nan")}, "sets 'hidden_dropout_prob'"),
        ({"image_size": [32] * 2000}, "sets 'image_size'"),
        ({"id2label": {"0": "a", "7": "b"}}, "sets 'id2label'"),
        ({"per_layer_config": {"0": {"_attn_implementation": "evil/kernel"}}}, "sets 'per_layer_config'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_config_of_no_such_network_gets_its_sentence(
    files: dict[str, bytes], config: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refused(changed(files, **config), tmp_path)


def test_what_says_how_a_network_runs_is_left_out(vit: Any, files: dict[str, bytes], tmp_path: Path) -> None:
    idle = {"attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel", "dtype": "evil",
            "torch_dtype": "evil", "output_attentions": True, "return_dict": False, "to_dict": 3,
            "fusion_config": {"evil": True}, "_name_or_path": "evil/net"}  # fmt: skip
    found = brought(changed(files, **idle), tmp_path)
    assert "evil" not in found.ref.to_json()
    with torch.no_grad():
        assert torch.equal(found.model(X), vit(X).logits)


def shards_that_lie(vit: Any) -> dict[str, dict[str, bytes]]:
    good = files_of(vit, max_shard_size="8KB")
    index = "model.safetensors.index.json"
    said = json.loads(good[index])
    key, shard = next(iter(said["weight_map"].items()))
    other = next(each for each in said["weight_map"].values() if each != shard)

    def mapped(**places: str) -> dict[str, bytes]:
        return {**good, index: json.dumps({"weight_map": said["weight_map"] | places}).encode()}

    return {
        "holds other tensors": mapped(**{key: other}),
        "not beside it": mapped(**{key: "../../secret.safetensors"}),
        "Add that file": {name: data for name, data in good.items() if name != shard},
        "does not say which tensor lies where": {**good, index: b'{"weight_map": ["x"]}'},
        "is damaged": {**good, shard: b"\xff" * 100},
    }


@pytest.mark.parametrize("sentence", ["holds other tensors", "not beside it", "Add that file", "is damaged",
                                      "does not say which tensor lies where"])  # fmt: skip
def test_shards_that_lie_get_their_sentence(vit: Any, sentence: str, tmp_path: Path) -> None:
    assert sentence in refused(shards_that_lie(vit)[sentence], tmp_path)


class Attack:
    def __reduce__(self) -> Any:
        return (open, ("was run", "w"))


def test_a_repository_that_lacks_or_hides_something_gets_its_sentence(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rest = {name: data for name, data in files.items() if name != WEIGHTS}
    assert "a pickle, which is not read" in refused({**rest, "pytorch_model.bin": pickle.dumps(Attack())}, tmp_path)
    assert not (tmp_path / "was run").exists()
    assert f"but no {WEIGHTS}" in refused(rest, tmp_path)
    assert "no config.json" in refused({WEIGHTS: files[WEIGHTS]}, tmp_path)
    assert "config.json in 'mine.zip' is damaged" in refused({**files, "config.json": b"{"}, tmp_path)
    assert "describes nothing" in refused({**files, "config.json": b"[]"}, tmp_path)
    assert "points outside it" in refused({**files, "../config.json": files["config.json"]}, tmp_path)
    two = {f"{folder}/{name}": data for folder in "ab" for name, data in files.items()}
    assert "holds 2 networks" in refused(two, tmp_path)
    broken = {key: value * float("nan") for key, value in safetensors.torch.load(files[WEIGHTS]).items()}
    assert "not finite" in refused({**files, WEIGHTS: safetensors.torch.save(broken)}, tmp_path)


def test_without_the_package_the_sentence_says_what_installs_it(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    library_module.classifiers.cache_clear()
    sentence = refused(files, tmp_path)
    assert "`pip install -r requirements-huggingface.txt`" in sentence
    assert (Path(__file__).parents[2] / library_module.LIST).is_file()
