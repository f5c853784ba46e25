"""Files of Keras: every class gives what Keras itself gives, and networks lose channels exactly."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pruning_core.errors import UserError
from pruning_core.export.as_brought import as_brought
from pruning_core.graph import Plan, capture, remove
from pruning_core.zoo import import_model, load_model
from pruning_core.zoo.interface import OpenSizes, Wanted
from pruning_core.zoo.keras_files.modules import SameAverage
from pruning_core.zoo.keras_files.reading import read_keras
from pruning_core.zoo.keras_files.rules import RULES
from pruning_core.zoo.programs.packing import pack
from tests.core.keras_nets import APPLICATIONS, CASES, IMAGE, one

CLOSE = 2e-6  # of the largest number: some layers of Keras compute in float32, whatever they are given
QUICK = ("MobileNet", "MobileNetV2", "MobileNetV3Small")  # the others take a minute each


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    module: ModuleType = importlib.import_module("keras")
    before = module.config.floatx()  # type: ignore[attr-defined]
    module.config.set_floatx("float64")  # type: ignore[attr-defined]
    yield module
    module.config.set_floatx(before)  # type: ignore[attr-defined]


def shuffled(model: Any) -> Any:
    """``model`` with random weights and statistics, which float32 holds exactly: what is forgotten shows."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        value = weight.numpy()
        if not np.issubdtype(value.dtype, np.floating):
            continue
        made = generator.normal(0, 1, value.shape) / max(1.0, np.sqrt(np.prod(value.shape[:-1])))
        if "variance" in weight.path or "gamma" in weight.path:
            made = generator.uniform(0.5, 1.5, value.shape)
        weight.assign(made.astype(np.float32).astype(value.dtype))
    return model


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.keras"
    shuffled(model).save(path)
    return path


def turned(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` as Keras has it, with channels first where the network here has them so."""
    first = x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)) if x.dim() > 2 else x
    return first if first.shape[1:] == shape else x


def inputs_of(model: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand((3, *each.shape[1:]), generator=generator, dtype=torch.float64)
        if "int" not in str(each.dtype)
        else torch.randint(9, (3, *each.shape[1:]), generator=generator)
        for each in model.inputs
    ]


def outputs(model: Any, given: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        found = model(given if len(given) > 1 else given[0], training=False)
    return list(found) if isinstance(found, list | tuple) else [found]


def check_alike(model: Any, path: Path) -> Any:
    """The network in the file gives what ``model`` gives, to rounding."""
    program = read_keras(path, "model.keras")
    given = inputs_of(model)
    wanted = outputs(model, given)
    own = [turned(x, each.shape) for x, each in zip(given, program.interface.inputs)]
    x = pack(own, torch.float64) if program.interface.packed else own[0]
    found = outputs(lambda x, training: program.model.double()(x), [x])
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted):
        theirs = turned(theirs, tuple(ours.shape[1:]))
        assert ours.shape == theirs.shape and theirs.abs().max() > 0
        assert (ours - theirs).abs().max() <= CLOSE * theirs.abs().max()
    return program


@pytest.mark.parametrize("name", CASES)
def test_a_layer_gives_what_keras_gives(name: str, keras: Any, tmp_path: Path) -> None:
    model = CASES[name](keras)
    check_alike(model, saved(model, tmp_path))


def test_every_class_that_is_read_is_among_the_cases() -> None:
    words = {word for name in CASES for word in name.split()} | {"LayerScale", "StochasticDepth"}  # of ConvNeXt
    assert sorted(RULES.keys() - words) == []


@pytest.mark.parametrize("size, stride, length", [(2, 1, 5), (2, 2, 5), (3, 2, 6), (4, 3, 7), (5, 2, 4), (3, 1, 6)])
def test_the_mean_of_a_window_at_the_edge_is_that_of_what_is_there(size: int, stride: int, length: int) -> None:
    """As Keras has it with TensorFlow and JAX; with torch it repeats the edge, which trained nobody's network."""
    x = torch.rand(1, 2, length, dtype=torch.float64)
    places = -(-length // stride)
    before = max((places - 1) * stride + size - length, 0) // 2
    wanted = [
        x[:, :, max(at * stride - before, 0) : at * stride - before + size].mean(2) for at in range(places)
    ]  # fmt: skip
    assert torch.allclose(SameAverage((size,), (stride,))(x), torch.stack(wanted, 2), rtol=1e-12)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in APPLICATIONS]
)
def test_half_of_every_group_leaves_an_application_exactly(name: str, keras: Any, tmp_path: Path) -> None:
    model = getattr(keras.applications, name)(weights=None, classes=10, **APPLICATIONS[name])
    path = saved(model, tmp_path)
    check_alike(model, path)
    loaded = import_model(path, "model.keras", tmp_path)
    assert loaded.num_classes == 10 and loaded.input_size == (3, *APPLICATIONS[name]["input_shape"][:2])
    network = capture(loaded.model.double(), torch.rand(1, *loaded.input_size, dtype=torch.float64))
    groups = [group for group in network.groups if group.exact and group.size > 1]
    assert len(groups) > 10
    removal = remove(loaded.model, network, Plan({group.key: range(group.size // 2) for group in groups}))
    assert removal.proof.exact and not removal.proof.unproven and removal.form == "module"
    assert sum(p.numel() for p in removal.model.parameters()) < network.cost().parameters / 2


@pytest.mark.parametrize("momentum, here", [(0.99, 0.1), (0.8, 0.2)])
def test_statistics_follow_a_short_training(momentum: float, here: float, keras: Any, tmp_path: Path) -> None:
    model = one(lambda lib, x: lib.BatchNormalization(momentum=momentum, name="norm")(lib.Conv2D(4, 3)(x)))(keras)
    program = read_keras(saved(model, tmp_path), "m.keras")
    assert program.model.get_submodule("norm").momentum == pytest.approx(here)


def test_layers_keep_their_names_and_no_turn_surrounds_a_convolution(keras: Any, tmp_path: Path) -> None:
    block = keras.Sequential([keras.layers.Conv2D(4, 3, name="inside")], name="block")
    model = one(lambda lib, x: lib.Dense(3, name="scores")(lib.Flatten()(block(lib.Conv2D(4, 3, name="a-b")(x)))))(
        keras
    )
    program = check_alike(model, saved(model, tmp_path))
    assert [name for name, m in program.model.named_modules() if name and not list(m.children())] == [
        "a_b", "block.inside", "scores"
    ]  # fmt: skip
    turns = [node for node in program.model.graph.nodes if node.target is torch.permute]
    assert len(turns) == 1, "before it is flattened"


def test_inputs_and_outputs_go_home_under_their_names(keras: Any, tmp_path: Path) -> None:
    loaded = import_model(saved(CASES["two inputs, two outputs"](keras), tmp_path), "two.keras", tmp_path)
    again = load_model(loaded.ref, tmp_path)
    model, examples, names = as_brought(again)
    assert names.inputs == ("left", "right") and names.outputs == ("first", "second")
    assert [tuple(each.shape) for each in examples] == [(1, 3, 9, 8), (1, 5)]
    assert [each.shape for each in model(*examples)] == [(1, 2), (1, 3)]


def test_sizes_that_are_left_open_are_asked_for(keras: Any, tmp_path: Path) -> None:
    path = saved(one(lambda lib, x: lib.GlobalMaxPooling2D()(lib.Conv2D(4, 3)(x)), (None, None, 3))(keras), tmp_path)
    with pytest.raises(OpenSizes) as asked:
        read_keras(path, "open.keras")
    assert len(asked.value.sizes) == 2 and "height" in asked.value.sizes[0] and "width" in asked.value.sizes[1]
    height, width = asked.value.sizes
    assert read_keras(path, "open.keras", Wanted({height: 12, width: 10})).interface.size == (3, 12, 10)


def test_a_layer_that_is_used_thrice_is_read_as_often(keras: Any, tmp_path: Path) -> None:
    def thrice(lib: Any, x: Any) -> Any:
        same = lib.Dense(60)
        return same(same(same(x)))

    check_alike((model := one(thrice, (60,))(keras)), saved(model, tmp_path))


def test_what_acts_in_training_alone_is_left_out_and_named(keras: Any, tmp_path: Path) -> None:
    program = read_keras(saved(CASES["a chain"](keras), tmp_path), "chain.keras")
    assert program.note.endswith("left out, as they act in training alone: RandomFlip.")


@pytest.mark.parametrize(
    "function, why",
    [
        (lambda lib, x: lib.Lambda(lambda t: t * 2.0)(x), "is a Lambda: it holds code, which is never run here"),
        (lambda lib, x: lib.ConvLSTM1D(2, 3)(x), "(ConvLSTM1D) of 'm.keras' is not read. It is of a class"),
        (lambda lib, x: lib.Flatten()(x)[:, :2], "(ops.GetItem) of 'm.keras' is not read. It is of a class"),
        (lambda lib, x: lib.GRU(2, reset_after=False)(lib.Reshape((-1, 3))(x)), "It resets before it multiplies"),
        (
            lambda lib, x: lib.UpSampling2D(2, interpolation="bicubic")(x),
            "What it says of 'interpolation' is not known here: 'bicubic'.",
        ),
        (lambda lib, x: lib.Activation(lambda t: t * 2.0)(x), "What it says of 'activation' is not known here"),
        (lambda lib, x: lib.Dense(3)(lib.Masking()(lib.Reshape((-1, 3))(x))), "(Masking)"),
    ],
)
def test_what_is_not_read_is_named(function: Any, why: str, keras: Any, tmp_path: Path) -> None:
    path = saved(one(function, IMAGE)(keras), tmp_path)
    with pytest.raises(UserError) as refused:
        read_keras(path, "m.keras")
    assert why in str(refused.value)


def test_a_network_whose_code_is_somebodys_own_is_named(keras: Any, tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("theirs")
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2.0

    path = saved(one(lambda lib, x: Own(name="mine")(x))(keras), tmp_path)
    with pytest.raises(UserError, match=r"'mine' in .* of the class 'Own', which is not Keras's own"):
        read_keras(path, "m.keras")
