"""Files of Keras, written by hand to do harm."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

Config = dict[str, Any]
METADATA = {"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}


def file(config: Any, weights: bytes | None = None, metadata: Any = METADATA, **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", config if isinstance(config, bytes) else json.dumps(config))
        archive.writestr("model.weights.h5", stored() if weights is None else weights)
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def stored(write: Callable[[h5py.File], None] = lambda _: None) -> bytes:
    """Weights of one dense layer of (3, 2), after ``write``."""
    out = io.BytesIO()
    with h5py.File(out, "w") as made:
        write(made)
        for at, shape in enumerate([(3, 2), (2,)]):
            if f"layers/dense/vars/{at}" not in made and made.get(f"layers/dense/vars/{at}", getlink=True) is None:
                made.create_dataset(f"layers/dense/vars/{at}", data=np.ones(shape, np.float32))
    return out.getvalue()


def entry(kind: str, name: str, reads: Sequence[Any] = ("x",), module: str = "keras.layers", **config: Any) -> Config:
    args = [each if not isinstance(each, str) else tensor(each) for each in reads]
    return {
        "module": module, "class_name": kind, "config": {"name": name, **config}, "registered_name": None, "name": name,
        "inbound_nodes": [{"args": args, "kwargs": {}}] if reads else [],
    }  # fmt: skip


def tensor(name: str, call: Any = 0, output: Any = 0) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}


def given(*shape: Any, name: str = "x", **more: Any) -> Config:
    return entry("InputLayer", name, (), batch_shape=[None, *shape], **more)


def graph(*layers: Config, inputs: Any = ("x", 0, 0), outputs: Any = None, **more: Any) -> Config:
    config = {
        "name": "net", "layers": list(layers), "input_layers": list(inputs),
        "output_layers": outputs or [layers[-1]["name"], 0, 0], **more,
    }  # fmt: skip
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": None,
    }


DENSE = entry("Dense", "dense", units=2)
HONEST = graph(given(3), DENSE)


def other(**changes: Any) -> Config:
    """The honest network with its dense layer described otherwise."""
    return graph(given(3), {**DENSE, **changes})


def nested(depth: int, uses: int) -> Config:
    """A network that uses a network, which uses a network …, each ``uses`` times."""
    inner = graph(given(3), entry("ReLU", "act"))
    for _ in range(depth):
        used = {**inner, "name": "inner", "inbound_nodes": []}
        reads = "x"
        for use in range(uses):
            used["inbound_nodes"].append({"args": [tensor(reads, max(use - 1, 0))], "kwargs": {}})
            reads = "inner"
        inner = graph(given(3), used, outputs=["inner", uses, 0])
    return inner


def _elsewhere(kind: str) -> bytes:
    def write(made: h5py.File) -> None:
        group = made.create_group("layers/dense/vars")
        if kind == "external":
            group["0"] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == "soft":
            group["0"] = h5py.SoftLink("/layers/dense/vars/0")
        elif kind == "raw":
            group.create_dataset("0", (3, 2), np.float32, external=[("/etc/passwd", 0, 24)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 2), np.float32)
            layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
            group.create_virtual_dataset("0", layout)
        elif kind == "packed":
            group.create_dataset("0", (3, 2), np.float32, np.ones((3, 2)), chunks=(3, 2), compression="gzip")
        elif kind == "promised":
            group.create_dataset("0", (1 << 20, 1 << 20), np.float32)
        elif kind == "bomb":
            group.create_dataset("0", (1 << 16, 1 << 14), np.float32, chunks=(1 << 10, 1 << 10), compression="gzip")
        elif kind == "objects":
            group.create_dataset("0", data=np.array([b"x"] * 6, object), dtype=h5py.special_dtype(vlen=bytes))
        elif kind == "group":
            group.create_group("0")
        elif kind == "scalar":
            group.create_dataset("0", data=np.float32(1))
        elif kind == "empty":
            group.create_dataset("0", data=h5py.Empty(np.float32))
        elif kind == "many":
            for at in range(100):
                group.create_dataset(str(at), data=np.ones(2, np.float32))

    return stored(write)


def _one_array_for_all() -> bytes:
    """A thousand layers whose weights are one array of 256 KiB: 256 MiB where 0.3 are stored."""

    def write(made: h5py.File) -> None:
        data = made.create_dataset("data", data=np.zeros((256, 256), np.float32))
        for at in range(1000):
            made[f"layers/dense{f'_{at}' if at else ''}/vars/0"] = data

    names = [f"dense{f'_{at}' if at else ''}" for at in range(1000)]
    layers = [entry("Dense", name, ["x" if not at else names[at - 1]], use_bias=False) for at, name in enumerate(names)]
    return file(graph(given(256), *layers), stored(write))


def _deep_text(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAA==", "defaults": None, "closure": None}}
CALLS = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}

FILES: dict[str, Callable[[], bytes]] = {
    "a lambda": lambda: file(other(class_name="Lambda", config={"name": "dense", "function": LAMBDA})),
    "a function of the system": lambda: file(other(module="os", class_name="system", config={"name": "dense"})),
    "a class beside the layers": lambda: file(other(module="keras.src.utils.file_utils", class_name="get_file")),
    "a module that begins like one of Keras": lambda: file(other(module="keras.layers.evil-module")),
    "a module with a line break": lambda: file(other(module="keras.layers\nos")),
    "a package's own layer": lambda: file(other(registered_name="theirs>Dense")),
    "a class that is no text": lambda: file(other(class_name=["Dense"])),
    "an activation that is a function": lambda: file(other(config={"name": "dense", "activation": CALLS})),
    "an activation that is a lambda": lambda: file(
        other(config={"name": "dense", "activation": {**LAMBDA, "module": "builtins"}})
    ),
    "a wrapped layer of the system": lambda: file(
        other(class_name="Bidirectional", config={"name": "dense", "layer": CALLS | {"config": {}}})
    ),
    "a network that is a layer": lambda: file(DENSE),
    "a network of a package": lambda: file({**HONEST, "registered_name": "theirs>Functional"}),
    "no object": lambda: file(b"[1, 2, 3]"),
    "no text": lambda: file(b"\xff\xfe\x00"),
    "text that nests for ever": lambda: file(_deep_text(100_000)),
    "a value that nests for ever": lambda: file(
        b'{"module":"keras","class_name":"Functional","config":' + _deep_text(900) + b"}"
    ),
    "a text bomb": lambda: file(b" " * (40 << 20)),
    "another version": lambda: file(HONEST, metadata={"keras_version": "2.15.0"}),
    "no version": lambda: file(HONEST, metadata=[1]),
    "networks in networks that double": lambda: file(nested(14, 2)),
    "networks in networks, forty deep": lambda: file(nested(40, 1)),
    "a circle": lambda: file(graph(given(3), entry("ReLU", "a", ["b"]), entry("ReLU", "b", ["a"]))),
    "itself": lambda: file(graph(given(3), entry("ReLU", "a", ["a"]))),
    "a layer that is not there": lambda: file(graph(given(3), entry("ReLU", "a", ["nobody"]))),
    "an output that is not there": lambda: file(graph(given(3), DENSE, outputs=["dense", 0, 7])),
    "a use that is not there": lambda: file(graph(given(3), DENSE, outputs=["dense", 10**9, 0])),
    "a use below the first": lambda: file(graph(given(3), DENSE, outputs=["dense", -1, 0])),
    "an input that is no input": lambda: file(graph(given(3), DENSE, inputs=("dense", 0, 0))),
    "two layers of one name": lambda: file(graph(given(3), DENSE, DENSE)),
    "no layers": lambda: file(graph(given(3), outputs=["x", 0, 0])),
    "a huge image": lambda: file(graph(given(1 << 20, 1 << 20, 3), entry("ReLU", "a"))),
    "a size that is text": lambda: file(graph(given("3"), DENSE)),
    "a size below nothing": lambda: file(graph(given(-3), DENSE)),
    "sixty dimensions": lambda: file(graph(given(*[1] * 60), entry("ReLU", "a"))),
    "a huge padding": lambda: file(graph(given(8, 8, 3), entry("ZeroPadding2D", "a", padding=1 << 20))),
    "a padding beyond every number": lambda: file(graph(given(8, 8, 3), entry("ZeroPadding2D", "a", padding=1 << 70))),
    "a huge enlargement": lambda: file(graph(given(8, 8, 3), entry("UpSampling2D", "a", size=1 << 20))),
    "many repeats": lambda: file(graph(given(3), entry("RepeatVector", "a", n=1 << 20), entry("Flatten", "b", ["a"]),
                                       entry("RepeatVector", "c", ["b"], n=1 << 20))),
    "a pool of nothing": lambda: file(graph(given(8, 8, 3), entry("MaxPooling2D", "a", pool_size=0))),
    "strides of text": lambda: file(graph(given(8, 8, 3), entry("MaxPooling2D", "a", strides="two"))),
    "groups beyond the channels": lambda: file(
        graph(given(8, 8, 3), entry("Conv2D", "dense", kernel_size=1, filters=2, groups=1 << 20))
    ),
    "a slope that is no number": lambda: file(graph(given(3), entry("LeakyReLU", "a", negative_slope=float("nan")))),
    "an argument that is an object": lambda: file(
        graph(given(3), entry("Add", "a", ["x", {"class_name": "__lambda__"}]))
    ),
    "twenty thousand layers": lambda: file(
        graph(given(3), *[entry("ReLU", f"r{at}", [f"r{at - 1}" if at else "x"]) for at in range(20_000)])
    ),
    "a name of a million letters": lambda: file(graph(given(3), entry("Nothing", "n" * 1_000_000))),
    "a name that is code": lambda: file(
        graph(given(3), {**DENSE, "name": "__import__('os')"}, outputs=["__import__('os')", 0, 0])
    ),
    "names of Python": lambda: file(
        graph(given(3, name="class"), entry("ReLU", "forward", ["class"]), entry("ReLU", "__dict__", ["forward"]),
              entry("Dense", "training", ["__dict__"]), inputs=("class", 0, 0))
    ),
    "weights that are no HDF5": lambda: file(HONEST, b"no weights at all"),
    "weights cut short": lambda: file(HONEST, stored()[:-100]),
    **{
        f"weights: {kind}": lambda kind=kind: file(HONEST, _elsewhere(kind))  # type: ignore[misc]
        for kind in ("external", "soft", "raw", "virtual", "packed", "promised", "bomb", "objects", "group", "scalar",
                     "empty", "many")
    },
    "one array for all layers": _one_array_for_all,
    "a member outside": lambda: file(HONEST, **{"../../escape": b"x"}),
}  # fmt: skip
HARMLESS = {"no layers", "a name that is code", "names of Python"}
