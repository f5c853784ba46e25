"""Files to begin with when fuzzing: honest ones of every door, and the hostile ones of the tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "core"))  # where the hostile files are made
LARGEST = 1 << 20  # bytes of a file


@cache
def small() -> tuple[Any, Any]:
    import torch

    from pruning_core.graph import capture

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.Flatten(), torch.nn.Linear(80, 3)
    ).eval()
    return model, capture(model, torch.zeros(1, 1, 8, 8))


def _shared() -> Any:
    from pruning_core.datasets import DIGITS
    from pruning_core.export.link import Shared
    from pruning_core.graph import Plan
    from pruning_core.zoo import DEMOS

    return Shared(DEMOS[0].ref, DIGITS, Plan({"conv1": (0, 2)}))


def links() -> Iterator[bytes]:
    from pruning_core.export.link import token

    yield token(_shared()).encode()
    yield b"p1."


def documents() -> Iterator[bytes]:
    """Plans as files, with and without how they were made."""
    from pruning_core.datasets import DIGITS
    from pruning_core.export.document import Base, plan_document, to_json
    from pruning_core.export.plan_file import intended
    from pruning_core.graph import Plan
    from pruning_core.zoo import DEMOS, load_model

    model, found = small()
    cut = Plan({found.groups[0].key: (0, 2)})
    base = Base("small", DEMOS[0].ref.to_json(), "", model.state_dict())
    yield to_json(intended(base, found, cut, DIGITS)).encode()
    yield json.dumps({"plan": {"0": [0]}}).encode()
    del plan_document, load_model


def recipes() -> Iterator[bytes]:
    from pruning_core.export.recipe import recipe_of, to_yaml

    for each in documents():
        try:
            yield to_yaml(recipe_of(json.loads(each))).encode()
        except Exception:  # not every document is a recipe
            continue
    yield b"prunescope: 1\nplan: {a: [0, 1]}\n"


def tables() -> Iterator[bytes]:
    rows = [f'0.weight,0,{at},"{0.9 - at / 3}"' for at in (0.1, 0.5, 0.9)]
    yield "\n".join(["parameter,sparsity,top1,top5", *rows]).encode()
    yield b"layername,0.25,0.5\n0,0.8,0.4\n2,0.7,0.1\n"
    yield json.dumps({"0": {"0.25": 0.8, "0.5": 0.4}, "2": {"0.5": 0.1}}).encode()


def hostile(kind: str) -> Iterator[bytes]:
    """The corpus of the tests."""
    import hostile_data
    import hostile_onnx
    import hostile_programs

    match kind:
        case "onnx":
            makes = list(hostile_onnx.FILES.values())
        case "pt2":
            makes = [hostile_programs.honest, *hostile_programs.SHAPED.values()]
        case "zip":
            makes = [make for make, _ in (*hostile_data.ARCHIVES.values(), *hostile_data.PICTURES.values())]
        case _:
            makes = [make for make, _ in hostile_data.ARRAYS.values()]
    for make in makes:
        data = make()
        if len(data) < LARGEST:
            yield data


def honest_images() -> Iterator[bytes]:
    import hostile_data

    yield hostile_data.zipped(hostile_data.honest())
    yield hostile_data.npz()
    yield from hostile("zip")


def checkpoints() -> Iterator[bytes]:
    import hostile_pickles as p
    import torch
    import upload_files

    state = upload_files.network().state_dict()
    yield upload_files.saved(state).getvalue()
    yield upload_files.saved(state, _use_new_zipfile_serialization=False).getvalue()
    yield upload_files.saved({"model": state, "epoch": 3, "optimizer": {"lr": 0.1}}).getvalue()
    yield upload_files.checkpoint_of_pickle(p.program({"a": p.tensor((2, 2), (2, 1))})).getvalue()
    yield torch.nn.Linear(2, 2).weight.detach().numpy().tobytes()


def tensors() -> Iterator[bytes]:
    import torch
    from safetensors.torch import save

    yield (ROOT / "assets" / "digits_vgg.safetensors").read_bytes()
    yield save({"a.weight": torch.ones(3, 2), "b": torch.zeros(1)}, metadata={"note": "x"})


def keras_files() -> Iterator[bytes]:
    """Networks described in JSON with their weights as HDF5, harmless and hostile."""
    import hostile_keras as k

    yield k.file(k.HONEST)
    image = k.graph(
        k.given(8, 8, 3),
        k.entry("Conv2D", "conv", kernel_size=3, filters=4, strides=2, padding="same"),
        k.entry("BatchNormalization", "norm", ["conv"], axis=-1),
        k.entry("Activation", "act", ["norm"], activation="relu"),
        k.entry("DepthwiseConv2D", "wide", ["act"], kernel_size=3, depth_multiplier=2),
        k.entry("GlobalAveragePooling2D", "pool", ["wide"]),
        k.entry("Reshape", "row", ["pool"], target_shape=[2, 4]),
        k.entry("LSTM", "lstm", ["row"], units=3),
        k.entry("Dense", "dense", ["lstm"], units=2, activation="softmax"),
    )
    yield k.file(image, k.stored(lambda made: _weights(made)))
    yield from (data for make in k.FILES.values() if len(data := make()) < LARGEST)


def _weights(made: Any) -> None:
    """Those of the second network above, in Keras's layout."""
    import numpy as np

    shapes = {
        "conv2d": [(3, 3, 3, 4), (4,)], "batch_normalization": [(4,)] * 4, "depthwise_conv2d": [(3, 3, 4, 2), (8,)],
        "lstm/cell": [(4, 12), (3, 12), (12,)],
    }  # fmt: skip
    for name, arrays in shapes.items():
        for at, shape in enumerate(arrays):
            made[f"layers/{name}/vars/{at}"] = np.full(shape, 0.1, np.float32)


def annotated() -> Iterator[bytes]:
    """Pictures with COCO's boxes, outlines and run lengths, with lists of labels, with masks beside them."""
    import numpy as np

    from tests.core import test_datasets_boxes as boxes
    from tests.core import test_datasets_listed as lists
    from tests.core import test_datasets_pairs as pairs
    from tests.core.test_datasets_uploads import zipped

    square, mask = [1, 2, 5, 2, 5, 5, 1, 5], np.eye(boxes.HIGH, boxes.WIDE) > 0
    segments = [[square], boxes.stored(mask, True), boxes.stored(mask, False), {"size": [6, 8], "counts": [3, 45]}]
    yield zipped(boxes.told(boxes.one_each(iscrowd=1))).getvalue()
    for each in segments:
        yield zipped(boxes.told(boxes.one_each(segmentation=each, area=9))).getvalue()
    yield zipped(lists.coco()).getvalue()
    yield zipped(lists.listed("file,animal", lambda at: f"p{at:02}.png,{'cat' if at % 3 else 'dog'}")).getvalue()
    yield zipped(lists.listed("file,even,third", lambda at: f"p{at:02}.png,{at % 2},{at % 3 == 0:d}")).getvalue()
    yield zipped(lists.listed("file,x,y", lambda at: f"p{at:02}.png,{at / 7},{-at}", "labels.tsv")).getvalue()
    yield zipped(pairs.with_masks()).getvalue()
    yield zipped(pairs.with_masks("P", "train/") | pairs.with_masks("P", "test/")).getvalue()


def frames(kind: str) -> Iterator[bytes]:
    """Tables of rows and columns."""
    from tests.core import test_datasets_tables as t

    yield t.sent(t.frame(), kind).getvalue()
    yield t.sent(t.frame().drop(columns=["home", "kind"]), kind).getvalue()
    yield t.sent(t.frame().assign(part=["train", "test", "val"] * 10), kind).getvalue()
    if kind == ".csv":
        yield b"\xef\xbb\xbfa;b;c\r\n" + b'1,5;2,5;"x ""y"""\r\n' * 9
        yield b"".join(b"%d,%d,%d\n" % (at, 2 * at, at % 2) for at in range(20))


def recordings() -> Iterator[bytes]:
    from tests.core import test_datasets_sounds as s
    from tests.core.test_datasets_uploads import zipped

    for form in s.FORMS:
        yield zipped(s.words(form, seconds=0.02)).getvalue()


def several_inputs() -> Iterator[bytes]:
    """Archives of arrays that are no pictures, one or several for each example."""
    import numpy as np

    from tests.core.test_datasets_uploads import npz

    rows, labels = np.linspace(-1, 1, 60).reshape(20, 3), np.arange(20) % 2
    yield npz(**{"inputs/tokens": np.arange(60).reshape(20, 3), "inputs/user": rows[:, 0], "labels": labels}).getvalue()
    yield npz(inputs=rows, labels=rows[:, :2], test_inputs=rows[:4], test_labels=rows[:4, :2]).getvalue()
    yield npz(inputs=rows.reshape(20, 3, 1, 1), labels=np.array(["a", "b"])[labels]).getvalue()
    yield npz(inputs=rows.astype(np.float16), labels=np.eye(2)[labels]).getvalue()


def stored_files() -> Iterator[bytes]:
    """What a child leaves of its results, of every kind that is read as arrays."""
    from tempfile import TemporaryDirectory

    import numpy as np

    from pruning_core.storage.arrays import put_arrays
    from pruning_core.storage.artifacts import Artifacts

    drawing = np.zeros((2, 1, 3, 3), np.uint8)
    kinds: list[dict[str, Any]] = [
        {"predicted": np.int32([0, 1]), "confidence": np.float32([0.5, 1]), "labels": np.int32([1, 1])},
        {"rows": np.ones((2, 1))},
        {"conv1": np.linspace(0, 1, 4), "conv2": np.ones(5)},
        {"places": np.ones((4, 2))},
        {"numbers": np.int64([0, 1]), "apart": np.ones(2), **dict.fromkeys(("inputs", "before", "after"), drawing)},
    ]
    with TemporaryDirectory() as folder:
        artifacts = Artifacts(Path(folder))
        yield from [artifacts.read(put_arrays(artifacts, each)) for each in kinds]
