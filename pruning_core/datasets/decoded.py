"""Decoded archives kept in the data directory, one file per archive and way to decode it."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pruning_core.datasets import findings
from pruning_core.datasets.raw import Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.storage.artifacts import replacing
from pruning_core.storage.codec import digest

VERSION = 6  # raise it when decoding changes, so that old copies are not read
TYPES = {"torch.uint8": "U8", "torch.int64": "I64", "torch.float32": "F32"}  # how the format names them


def place(root: Path, ref: DataRef, sized: bool) -> Path:
    """Where the decoded copy of an archive belongs; ``sized``: its reader resizes, so that each size has its own."""
    size = ref.size if sized else None
    asked = [ref.task, ref.target, ref.left_out, ref.one_hot, ref.rate, ref.samples]
    key = digest([ref.source, ref.digest, ref.test_digest, size, ref.code_page, asked, VERSION])
    return root / "cache" / "images" / f"{key}.safetensors"


def save(path: Path, raw: Raw) -> None:
    """Write ``raw`` to ``path``, completely or not at all, and without a second copy of it in memory."""
    given = {
        "labels": raw.labels, "test_labels": raw.test_labels, "images": raw.images, "test_images": raw.test_images,
    }  # fmt: skip
    there = {name: tensor for name, tensor in given.items() if tensor is not None}
    # numbers of eight bytes begin at a multiple of eight, those of four at one of four
    tensors = dict(sorted(there.items(), key=lambda item: -item[1].element_size()))
    header = {
        "__metadata__": {
            "classes": json.dumps(raw.classes),
            "findings": findings.written(raw.findings),
            "sha256": _hashed(tensors),
        },
        **_offsets(tensors),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of eight
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().numpy().data)


def _hashed(tensors: dict[str, Tensor]) -> str:
    """Of all their bytes; images that changed on the disk must not be measured."""
    hasher = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        hasher.update(tensor.contiguous().numpy().data)
    return hasher.hexdigest()


def _offsets(tensors: dict[str, Tensor]) -> dict[str, object]:
    """What the format's header says of each tensor: type, shape, first byte and the one behind the last."""
    told: dict[str, object] = {}
    at = 0
    for name, tensor in tensors.items():
        end = at + tensor.numel() * tensor.element_size()
        told[name] = {"dtype": TYPES[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    return told


def load(path: Path) -> Raw | None:
    """What ``save`` wrote, or None when there is nothing usable."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping: it has no iterator)
            if _hashed(tensors) != text["sha256"]:
                raise ValueError("not what was written")
            with suppress(OSError):  # a child may not
                os.utime(path)  # it is in use: nobody cleans it away
            return Raw(
                tensors["images"],
                tensors["labels"],
                tuple(json.loads(text["classes"])),
                tensors.get("test_images"),
                tensors.get("test_labels"),
                findings.read(text["findings"]),
            )
    except (SafetensorError, KeyError, ValueError, TypeError, OSError):
        with suppress(PermissionError):
            path.unlink(missing_ok=True)  # a damaged copy costs one more decoding, nothing else
        return None
