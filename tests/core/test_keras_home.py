"""A network that came as a file of Keras goes home as one: Keras itself loads it, and it gives what it gave here."""

from __future__ import annotations

import importlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.errors import UserError
from pruning_core.export.keras_file import export_keras
from pruning_core.graph import Plan, capture
from pruning_core.methods.projections import projections
from pruning_core.storage.weights import store_weights
from pruning_core.zoo import LoadedModel, ModelRef, import_model, load_model
from pruning_core.zoo.keras_files.archive import parts
from pruning_core.zoo.keras_files.numbered import Numbered
from pruning_core.zoo.programs.packing import pack
from pruning_core.zoo.rebuilt import EDITS, told
from tests.core.keras_nets import CASES, IMAGE, one
from tests.core.test_keras_files import CLOSE, inputs_of, outputs, shuffled, turned

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    return importlib.import_module("keras")


def _blocks(lib: Any, x: Any) -> Any:
    """Convolutions of every kind between two others, with norms, a gate and a second way."""
    y = lib.Rescaling(1 / 127.5, offset=-1)(x)
    y = lib.BatchNormalization()(lib.Conv2D(8, 3, padding="same", strides=2, name="first-conv")(y))
    y = lib.ReLU(6.0)(lib.DepthwiseConv2D(3, padding="same")(y))
    y = short = lib.PReLU(shared_axes=[1, 2])(lib.SeparableConv2D(8, 3, padding="same", use_bias=False)(y))
    y = lib.Conv2D(6, 1, activation=lib.LeakyReLU(negative_slope=0.1))(y)
    y = lib.Conv2DTranspose(8, 3, padding="same")(y)
    gate = lib.Reshape((1, 1, 8))(lib.GlobalAveragePooling2D()(y))
    gate = lib.Conv2D(8, 1, activation="sigmoid")(lib.Conv2D(4, 1, activation="relu")(gate))
    y = lib.Add()([lib.Multiply()([y, gate]), short])
    y = lib.Concatenate()([y, lib.Conv2D(4, 3, padding="same")(y)])
    return lib.Dense(3, activation="softmax")(lib.Dropout(0.1)(lib.Dense(6, "relu")(lib.Flatten()(y))))


def _steps(lib: Any, x: Any) -> Any:
    y = lib.Conv1D(6, 3, padding="causal")(x)
    y = lib.GRU(6, return_sequences=True, bias_initializer="normal", dropout=0.1)(y)
    y = lib.Bidirectional(lib.LSTM(4, return_sequences=True))(y)
    return lib.Dense(2)(lib.Dense(5)(lib.SimpleRNN(6, go_backwards=True)(y)))


def _nested(k: Any) -> Any:
    lib, x = k.layers, k.Input(IMAGE)
    inside = k.Sequential([lib.Conv2D(6, 3), lib.BatchNormalization(), lib.ReLU(), lib.Conv2D(4, 1)], name="inside")
    head = k.Sequential([lib.Flatten(), lib.Dense(6), lib.Dense(3)], name="head")
    return k.Model(x, head(lib.Add()([inside(x), inside(lib.ReLU()(x))])))


def _tokens(k: Any) -> Any:
    x = k.Input((6,), dtype="int32")
    return k.Model(x, k.layers.Dense(2)(k.layers.GRU(6)(k.layers.Embedding(9, 6)(x))))


def _heads(lib: Any, x: Any) -> Any:
    y = lib.Dense(8)(x)
    y = lib.Add()([y, lib.MultiHeadAttention(4, 3, value_dim=2)(y, y)])
    return lib.Dense(2)(lib.GlobalAveragePooling1D()(lib.Dense(6, "gelu")(y)))


# name -> (how it is made, classes of which something must have gone)
NETS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "blocks": (one(_blocks), ("Conv2D", "SeparableConv2D", "Conv2DTranspose", "Dense")),
    "steps": (one(_steps, (7, 5)), ("Conv1D", "GRU", "LSTM", "SimpleRNN", "Dense")),
    "networks in a network": (_nested, ("Conv2D", "Dense")),
    "tokens": (_tokens, ("Embedding", "GRU")),
    "heads": (one(_heads, (6, 5)), ("MultiHeadAttention", "Dense")),
    "groups": (
        one(lambda lib, x: lib.Dense(2)(lib.Flatten()(lib.Conv2D(8, 3, groups=4)(lib.Conv2D(8, 3)(x))))),
        ("Conv2D",),
    ),
    "volumes": (
        one(lambda lib, x: lib.Conv3D(2, 1)(lib.UpSampling3D()(lib.Conv3DTranspose(4, 2)(lib.Conv3D(6, 2)(x)))),
            (5, 4, 4, 2)),
        ("Conv3D", "Conv3DTranspose"),
    ),
    "channels first": (
        one(lambda lib, x: lib.Conv2D(2, 1, data_format="channels_first")(
            lib.BatchNormalization(axis=1)(lib.Conv2D(6, 3, data_format="channels_first")(x))), (3, 9, 8)),
        ("Conv2D",),
    ),
    "inputs and outputs": (CASES["two inputs, two outputs"], ("Conv2D", "Dense")),
}  # fmt: skip


def brought(model: Any, root: Path) -> LoadedModel:
    path = root / "net.keras"
    shuffled(model).save(path)
    return import_model(path, "net.keras", root)


def cut(base: LoadedModel, root: Path, share: int = 3, seed: int = 0) -> LoadedModel:
    """Without a random third of every group."""
    network = capture(base.model, torch.zeros(1, *base.input_size))
    generator = torch.Generator().manual_seed(seed)
    drop = {
        g.key: torch.randperm(g.size, generator=generator)[: max(1, g.size // share)].tolist()
        for g in network.groups
        if g.size > 1
    }
    ref = ModelRef("pruned", base.ref.name, base=base.ref, plan=Plan(drop).to_json())
    return load_model(ref, root)


def trained(small: LoadedModel, root: Path) -> LoadedModel:
    """With other numbers wherever a training changes them."""
    with torch.no_grad():
        for parameter in small.model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
        for name, buffer in small.model.named_buffers():
            if "running" in name:
                buffer += 0.1
    ref = small.ref
    return load_model(
        ModelRef("pruned", ref.name, store_weights(small.model.state_dict(), root), base=ref.base, plan=ref.plan), root
    )


def home(small: LoadedModel, root: Path, keras: Any) -> Any:
    """What Keras loads of the file that goes home."""
    path = root / "home.keras"
    path.write_bytes(export_keras(small, root).data)
    return keras.models.load_model(path)


def alike(small: LoadedModel, model: Any) -> None:
    """``model``, which is Keras's, gives what ``small`` gives here."""
    told = small.interface
    assert told is not None
    given = inputs_of(model)
    given = [x.float() if x.is_floating_point() else x for x in given]
    own = [turned(x, each.shape) for x, each in zip(given, told.inputs)]
    wanted = outputs(lambda x, training: small.model(x), [pack(own) if told.packed else own[0]])
    found = outputs(model, given)
    assert len(found) == len(wanted)
    for theirs, ours in zip(found, wanted):
        theirs = turned(theirs, tuple(ours.shape[1:]))
        assert theirs.shape == ours.shape and ours.abs().max() > 0
        assert (theirs - ours).abs().max() <= 20 * CLOSE * ours.abs().max()


def numbers(model: Any) -> dict[str, int]:
    """class -> parameters, of every layer and of those inside it"""
    found: dict[str, int] = {}
    for layer in model._flatten_layers():
        found[type(layer).__name__] = found.get(type(layer).__name__, 0) + layer.count_params()
    return found


@pytest.mark.parametrize("name", NETS)
def test_what_was_cut_goes_home_to_keras(name: str, keras: Any, tmp_path: Path) -> None:
    make, shrunk = NETS[name]
    model = make(keras)
    base = brought(model, tmp_path)
    small = trained(cut(base, tmp_path), tmp_path)
    back = home(small, tmp_path, keras)
    alike(small, back)
    before, after = numbers(model), numbers(back)
    assert all(after[kind] < before[kind] for kind in shrunk), (before, after)
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]


def test_what_is_cut_twice_goes_home(keras: Any, tmp_path: Path) -> None:
    once = trained(cut(brought(one(_blocks)(keras), tmp_path), tmp_path, share=4), tmp_path)
    twice = trained(cut(once, tmp_path, seed=1), tmp_path)
    alike(twice, home(twice, tmp_path, keras))


def test_what_was_not_changed_goes_home_to_the_bit(keras: Any, tmp_path: Path) -> None:
    model = NETS["steps"][0](keras)
    model.compile("adam", "mse")
    base = brought(model, tmp_path)
    back = home(base, tmp_path, keras)
    assert [each.path for each in back.weights] == [each.path for each in model.weights]
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(back.weights, model.weights))
    assert export_keras(base, tmp_path).data == export_keras(base, tmp_path).data


def test_no_size_of_before_is_left_in_the_file(keras: Any, tmp_path: Path) -> None:
    model = _nested(keras)
    model.compile("adam", "mse")
    data = export_keras(cut(brought(model, tmp_path), tmp_path), tmp_path).data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        said = archive.read("config.json").decode()
        assert "keras_version" in json.loads(archive.read("metadata.json"))
    assert "build_config" not in said and "compile_config" not in said
    assert '"filters": 4' in said and '"filters": 6' not in said
    assert '"batch_shape": [null, 7, 6, 3]' in said and "[null, 7, 6, 4]" not in said


def test_sizes_that_were_open_stay_open(keras: Any, tmp_path: Path) -> None:
    model = one(lambda lib, x: lib.Dense(2)(lib.GlobalMaxPooling2D()(lib.Conv2D(6, 3)(x))), (None, None, 3))(keras)
    shuffled(model).save(tmp_path / "net.keras")
    base = import_model(tmp_path / "net.keras", "net.keras", tmp_path, input_size=(3, 12, 10))
    back = home(cut(base, tmp_path), tmp_path, keras)
    assert back.input_shape == (None, None, None, 3) and back.count_params() < model.count_params()


def test_what_no_setting_says_is_said(keras: Any, tmp_path: Path) -> None:
    def between(lib: Any, x: Any) -> Any:
        return lib.Conv2D(2, 1)(lib.Normalization(mean=[0.1] * 6, variance=[2.0] * 6)(lib.Conv2D(6, 3)(x)))

    small = cut(brought(one(between)(keras), tmp_path), tmp_path)
    with pytest.raises(UserError) as refused:
        export_keras(small, tmp_path)
    assert str(refused.value).startswith("The settings of Keras's layers cannot say what was done to this network")
    assert str(refused.value).endswith("Take the exported program or ONNX instead.")


def test_numbers_beside_those_of_the_file_are_said(keras: Any, tmp_path: Path) -> None:
    small = cut(brought(NETS["tokens"][0](keras), tmp_path), tmp_path)
    small.model.register_buffer("more", torch.zeros(1))
    with pytest.raises(UserError, match="numbers that its file of Keras has no place for"):
        export_keras(small, tmp_path)


def test_what_is_left_must_be_slices(keras: Any, tmp_path: Path) -> None:
    base = brought(NETS["groups"][0](keras), tmp_path)
    numbered = Numbered(parts(tmp_path / "net.keras", "net.keras").weights, "net.keras")
    (kernel, _) = numbered.variables("layers/conv2d")  # (3, 3, 3, 8)
    left = numbered.left({"w": kernel[1:, :, :, ::2]}, {"w": kernel[1:, :, :, ::2] * 0.5})["layers/conv2d/vars/0"]
    assert left is not None and [list(each) for each in left.kept] == [[1, 2], [0, 1, 2], [0, 1, 2], [0, 2, 4, 6]]
    assert (left.values == kernel[1:, :, :, ::2].numpy() * 0.5).all()
    one_less = kernel.flatten()[1:]
    assert numbered.left({"w": one_less}, {"w": one_less})["layers/conv2d/vars/0"] is None
    assert base.num_classes == 2


def test_another_build_is_said(keras: Any, tmp_path: Path) -> None:
    def residual(lib: Any, x: Any) -> Any:
        y = lib.Conv2D(8, 3, padding="same")(x)
        branch = lib.ReLU()(lib.BatchNormalization()(lib.Conv2D(8, 3, padding="same")(y)))
        branch = lib.BatchNormalization()(lib.Conv2D(8, 3, padding="same")(branch))
        return lib.Dense(3)(lib.GlobalAveragePooling2D()(lib.ReLU()(lib.Add()([y, branch]))))

    base = brought(one(residual)(keras), tmp_path)
    found = projections(base.model, capture(base.model, torch.zeros(1, *base.input_size)))
    ref = ModelRef("rebuilt", base.ref.name, options=((EDITS, told(found)),), input_size=base.input_size, base=base.ref)
    with pytest.raises(UserError, match=r"The build of this network was changed since 'net.keras', by more than sizes"):
        export_keras(load_model(ref, tmp_path), tmp_path)
