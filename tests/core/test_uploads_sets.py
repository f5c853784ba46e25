"""Checkpoints as training leaves them: several sets of weights in one file, and company of every kind beside them."""

import argparse
import collections
import datetime
import decimal
import enum
import functools
import io
import pathlib
import re
import sys
import types
import uuid

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo import import_model, load_model
from tests.core.upload_files import images, network, saved

pytestmark = pytest.mark.usefixtures("one_thread")

ONE, TWO = network(seed=1), network(seed=2)
A, B = ONE.state_dict(), TWO.state_dict()


def gives(loaded, model):
    x = images(model)
    with torch.no_grad():
        return torch.equal(loaded.model(x), model(x))


def before(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def optimizer_of(model):
    optimizer = torch.optim.AdamW(model.parameters())
    model(images(model)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


TWO_SETS = {
    # name: (content, the set that is loaded, the other)
    "timm": ({"state_dict": A, "state_dict_ema": B, "arch": "mine", "epoch": 3}, "state_dict", "state_dict_ema"),
    "timm, average first": ({"state_dict_ema": B, "state_dict": A}, "state_dict", "state_dict_ema"),
    "average in a dictionary": ({"model": A, "model_ema": {"module": B, "decay": 0.99}}, "model", "model_ema.module"),
    "no usual key": ({"ema_state_dict": B, "best": A, "epoch": 3}, "best", "ema_state_dict"),
    "in a list": ([A, {"swa": B}], "0", "1.swa"),
    "lightning": (
        {"state_dict": {**before("net.", A), **before("net_ema.", B)}, "callbacks": {"Save": {"best": 0.3}}},
        "state_dict.net",
        "state_dict.net_ema",
    ),
    "lightning, average in a callback": (
        {"state_dict": before("model.", A), "callbacks": {"EMA": {"ema_state_dict": before("model.", B)}}},
        "state_dict",
        "callbacks.EMA.ema_state_dict",
    ),
    "contrast": (
        {
            "state_dict": {
                **before("module.encoder_k.", B),
                **before("module.encoder_q.", A),
                "module.queue": torch.ones(64, 30),
                "module.queue_ptr": torch.zeros(1, dtype=torch.int64),
            }
        },
        "state_dict.encoder_q",
        "state_dict.encoder_k",
    ),
    "teacher and student": ({"teacher": before("backbone.", B), "student": A}, "student", "teacher"),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", TWO_SETS)
def test_two_sets_of_weights_are_named_and_either_can_be_had(tmp_path, kind, legacy):
    content, first, second = TWO_SETS[kind]
    file = saved(content, _use_new_zipfile_serialization=not legacy)
    loaded = import_model(file, "run.pth", tmp_path)
    assert [each.name for each in loaded.sets] == [first, second] and loaded.used == loaded.sets[0]
    assert [each.average for each in loaded.sets] == [False, True]
    assert {each.title for each in loaded.sets} == {"Small ResNet for digits"}
    assert {each.numbers for each in loaded.sets} == {sum(t.numel() for t in A.values())}
    assert gives(loaded, ONE)
    (said,) = (note for note in loaded.notes if "2 sets of weights" in note)
    assert f"{second!r} (an average over training)" in said and f"loaded {first!r}" in said
    other = import_model(file, "run.pth", tmp_path, weights=second)
    assert gives(other, TWO) and other.used == other.sets[1] and other.ref != loaded.ref
    assert gives(load_model(other.ref, tmp_path), TWO), "the choice is kept with the reference"
    assert import_model(file, "run.pth", tmp_path, weights=first).ref == loaded.ref
    with pytest.raises(UserError, match=rf"holds no weights called 'nonsense'. Choose one of .*{re.escape(second)}"):
        import_model(file, "run.pth", tmp_path, weights="nonsense")


def test_two_sets_in_one_safetensors_file(tmp_path):
    flat = {**before("model.", A), **before("model_ema.", B)}
    file = io.BytesIO(save({key: tensor.contiguous() for key, tensor in flat.items()}))
    loaded = import_model(file, "run.safetensors", tmp_path)
    assert [each.name for each in loaded.sets] == ["model", "model_ema"] and gives(loaded, ONE)
    assert gives(import_model(file, "run.safetensors", tmp_path, weights="model_ema"), TWO)


def test_one_set_asks_nothing(tmp_path):
    loaded = import_model(saved({"model": A, "ema": None, "state_dict": A}), "run.pth", tmp_path)
    assert [each.name for each in loaded.sets] == ["model"] and not any("sets of weights" in n for n in loaded.notes)


def test_sets_of_other_shapes_are_offered_and_the_known_one_is_loaded(tmp_path):
    generator = {f"up{i}.weight": torch.ones(64, 64, 3, 3) for i in range(4)}
    file = saved({"netG": generator, "netD": A})
    loaded = import_model(file, "gan.pth", tmp_path)
    assert [(each.name, each.title != "") for each in loaded.sets] == [("netD", True), ("netG", False)]
    assert gives(loaded, ONE)
    with pytest.raises(UserError, match="no known architecture"):
        import_model(file, "gan.pth", tmp_path, weights="netG")


def test_what_an_optimizer_keeps_is_never_taken_for_weights(tmp_path):
    momentum = {key: torch.ones_like(tensor) for key, tensor in A.items()}
    content = {
        "model": A,
        "optimizer": optimizer_of(network(seed=1)),
        "optim_state": {"exp_avg": momentum, "exp_avg_sq": momentum},
        "optimizer_states": [{"state": {key: {"exp_avg": t, "step": torch.ones(())} for key, t in A.items()}}],
        "grad": momentum,
    }
    loaded = import_model(saved(content), "run.pth", tmp_path)
    assert [each.name for each in loaded.sets] == ["model"] and gives(loaded, ONE)


COMPANY = {
    "one tensor": ({"state_dict": A, "mean": torch.ones(3)}, ()),
    "criterion": ({"model": A, "criterion": {"weight": torch.ones(7, 7)}, "loss": torch.ones(4, 4)}, ()),
    "deepspeed": ({"module": A, "param_shapes": [{k: t.shape for k, t in A.items()}], "ds_version": "0.1"}, ()),
    "averaged model": ({"n_averaged": torch.ones(()), **before("module.", A)}, ("n_averaged",)),
    "criterion by prefix": (
        {"state_dict": {**before("model.", A), "criterion.weight": torch.ones(10)}},
        ("criterion",),
    ),
    "heads by prefix": (
        {**before("backbone.", A), "rotation.weight": torch.ones(4, 64), "rotation.bias": torch.ones(4)},
        ("rotation.weight", "rotation.bias"),
    ),
    "projector": ({**A, "projector.0.weight": torch.ones(128, 64)}, ("projector.0.weight",)),
    "statistics of the images": ({**A, "pixel_mean": torch.ones(3), "pixel_std": torch.ones(3)}, ("pixel_mean",)),
    "profiled": ({**A, "total_ops": torch.ones(1), "layer1.0.total_params": torch.ones(1)}, ("profiler",)),
    "compiled inside": ({k.replace("layer1.", "layer1._orig_mod."): t for k, t in A.items()}, ("_orig_mod.",)),
    "sharded": (
        before("_fsdp_wrapped_module.", {k.replace("layer2.0.", "layer2.0._fsdp_wrapped_module."): A[k] for k in A}),
        ("_fsdp_wrapped_module.",),
    ),
    "one after the other": (before("module._orig_mod.model.", A), ("'module.'", "'_orig_mod.'", "'model.'")),
}


@pytest.mark.parametrize("kind", COMPANY)
def test_company_that_is_no_weights_is_left_out_and_said(tmp_path, kind):
    content, said = COMPANY[kind]
    loaded = import_model(saved(content), "run.pth", tmp_path)
    assert gives(loaded, ONE) and len(loaded.sets) == 1
    for word in said:
        assert any(word in note for note in loaded.notes), loaded.notes


def test_a_layer_more_is_no_company(tmp_path):
    """What could take part in the network's answer is not dropped."""
    for extra in ("layer1.0.attention.weight", "norm.weight", "fc2.weight"):
        with pytest.raises(UserError, match=rf"no known architecture.*unexpected: {extra}"):
            import_model(saved({**A, extra: torch.ones(16, 16)}), "w.pth", tmp_path)


class Phase(enum.Enum):
    LAST = "last"


class Settings(dict):
    """As configuration libraries have them: a dictionary with attributes and a state."""

    def __init__(self, *given):
        raise AssertionError("a class of the file's was made")

    def __setstate__(self, state):
        raise AssertionError("a class of the file's was told something")


def settings():
    made = dict.__new__(Settings, {})
    dict.__setitem__(made, "lr", 0.1)
    made.path = pathlib.PurePosixPath("/data")
    return made


def foreign():
    """An object of a library that is not installed here: its module is gone when the file is read."""
    module = types.ModuleType("omegaconf_not_here")
    exec(
        "class DictConfig:\n    def __init__(self): self.__dict__.update(_content={'lr': 0.1}, _parent=None)",
        vars(module),
    )
    module.DictConfig.__module__ = module.__name__
    sys.modules[module.__name__] = module
    return module.DictConfig()


METADATA = {
    "path": lambda: pathlib.PosixPath("/a/b"),
    "time": lambda: [datetime.datetime.now(), datetime.timedelta(1), datetime.date(2020, 1, 1)],
    "array": lambda: np.arange(30.0).reshape(5, 6),
    "arrays": lambda: {"text": np.array(["a", "b"]), "objects": np.array([{}, None]), "record": np.zeros(2, "i4,f8")},
    "scalars": lambda: [np.float64(0.9), np.int64(3), np.bool_(True), np.datetime64("2020-01-01")],
    "namespace": lambda: argparse.Namespace(lr=0.1, out=pathlib.PosixPath("/a")),
    "collections": lambda: [
        collections.Counter("aab"),
        collections.defaultdict(list, a=[1]),
        collections.deque([1], 3),
        collections.OrderedDict(a=1),
        collections.ChainMap({"a": 1}),
    ],
    "numbers": lambda: [decimal.Decimal("0.1"), 3 + 4j, 1 << 100, uuid.UUID(int=5), b"bytes", bytearray(b"x")],
    "code": lambda: [len, functools.partial(nn.Linear, 3), slice(1, 2), range(3), re.compile("a")],
    "random states": lambda: [torch.get_rng_state(), np.random.RandomState(0).get_state(), np.random.default_rng(0)],
    "torch": lambda: [torch.device("cpu"), torch.float32, torch.Size((2, 3)), torch.strided],
    "keys": lambda: {(1, 2): "a", 1.5: "b", None: "c", frozenset((1,)): "d", 3: "e"},
    "own classes": lambda: [Phase.LAST, settings(), {"cfg": settings()}, types.SimpleNamespace(a=1)],
    "foreign": foreign,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", METADATA)
def test_settings_and_results_beside_the_weights_do_no_harm(tmp_path, kind, legacy):
    content = METADATA[kind]()
    file = saved({"kept": content, "state_dict": A, "later": content}, _use_new_zipfile_serialization=not legacy)
    sys.modules.pop("omegaconf_not_here", None)
    loaded = import_model(file, "run.pth", tmp_path)
    assert gives(loaded, ONE) and loaded.notes == ("weights taken from 'state_dict'",)
    assert "omegaconf_not_here" not in sys.modules


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickles_reads_the_same(tmp_path, protocol):
    file = saved({"state_dict": A, "curve": np.arange(3.0), "set": {1, 2}}, pickle_protocol=protocol)
    assert gives(import_model(file, "run.pth", tmp_path), ONE)


@pytest.mark.parametrize("kind", ["arrays", "Fortran's order", "doubles", "buffers"])
def test_weights_that_are_arrays(tmp_path, kind):
    arrays = {key: tensor.numpy() for key, tensor in A.items()}
    if kind == "Fortran's order":
        arrays = {key: np.asfortranarray(value) if value.ndim > 1 else value for key, value in arrays.items()}
    if kind == "doubles":
        arrays = {key: value.astype("f8") if value.dtype == "f4" else value for key, value in arrays.items()}
    file = saved({"params": arrays}, pickle_protocol=5 if kind == "buffers" else 2)
    loaded = import_model(file, "w.pth", tmp_path)
    assert gives(loaded, ONE)
    assert loaded.notes[1:] == (("weights stored as float64 are computed as float32",) if kind == "doubles" else ())


def test_arrays_of_a_big_endian_machine_are_refused(tmp_path):
    arrays = {key: value.numpy().astype(">f4") for key, value in A.items()}
    with pytest.raises(UserError, match="big-endian"):
        import_model(saved(arrays), "w.pth", tmp_path)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("wrap", ["torch", "safetensors"])
def test_weights_of_eight_bits_say_of_which_kind_they_are(tmp_path, kind, wrap):
    small = {key: tensor.to(kind) if tensor.is_floating_point() else tensor for key, tensor in A.items()}
    file = saved(small) if wrap == "torch" else io.BytesIO(save(small))
    loaded = import_model(file, f"w.{wrap}", tmp_path)
    (note,) = loaded.notes
    assert note.startswith(f"weights stored as {str(kind)[6:]} are computed as float32") and "scales" in note
    assert torch.equal(loaded.model.conv1.weight, A["conv1.weight"].to(kind).float())


def test_integers_are_not_taken_for_weights(tmp_path):
    whole = {key: (100 * tensor).to(torch.int8) if tensor.ndim > 1 else tensor for key, tensor in A.items()}
    with pytest.raises(UserError, match=r"'conv1.weight' in 'w.pth' is stored as int8: quantised"):
        import_model(saved(whole), "w.pth", tmp_path)


class Labelled(torch.Tensor):
    """A tensor of a class of one's own."""


def test_weights_that_hang_on_something_unknown_are_refused_by_its_name(tmp_path):
    def with_head(value):
        return saved({"state_dict": {**A, "linear.weight": value}, "epoch": 3})

    own = A["linear.weight"].as_subclass(Labelled)
    quantised = torch.quantize_per_tensor(A["linear.weight"], 0.1, 0, torch.qint8)
    for value, sentence in (
        (own, r"an object of .*test_uploads_sets\.Labelled"),
        (quantised, "quantised to 8-bit integers"),
        (A["linear.weight"].to_sparse(), "sparse"),
        (types.SimpleNamespace(weight=A["linear.weight"]), r"an object of types\.SimpleNamespace"),
    ):
        with pytest.raises(UserError, match=sentence):
            import_model(with_head(value), "w.pth", tmp_path)
    beside = saved({"state_dict": A, "extra": {"x.weight": own}, "module": ONE})
    assert gives(import_model(beside, "w.pth", tmp_path), ONE), "beside the weights it is nobody's business"


def test_small_expanded_buffers_are_read_and_large_ones_refused(tmp_path):
    state = {**A, "bn1.running_mean": torch.full((1,), 0.5).expand(16)}
    loaded = import_model(saved(state), "w.pth", tmp_path)
    assert torch.equal(loaded.model.bn1.running_mean, torch.full((16,), 0.5))
    wide = {**A, "bn1.running_mean": torch.ones(1).expand(1 << 30)}
    with pytest.raises(UserError, match="claims 1,073,741,824 numbers where the file stores 1"):
        import_model(saved(wide), "w.pth", tmp_path)
