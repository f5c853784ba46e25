"""Decoded archives kept in the data directory, one file per archive and size."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from pruning_core.datasets.raw import Raw
from pruning_core.storage.artifacts import replacing

VERSION = 1  # raise it when decoding changes, so that old copies are not read


def place(root: Path, digest: str, size: tuple[int, int] | None) -> Path:
    """Where the decoded copy of an archive belongs."""
    suffix = "" if size is None else f"-{size[0]}x{size[1]}"
    return root / "cache" / "images" / f"{digest}{suffix}-v{VERSION}.safetensors"


def save(path: Path, raw: Raw) -> None:
    """Write ``raw`` to ``path``, completely or not at all."""
    tensors = {"images": raw.images, "labels": raw.labels}
    if raw.test_images is not None and raw.test_labels is not None:
        tensors |= {"test_images": raw.test_images, "test_labels": raw.test_labels}
    text = {"classes": json.dumps(raw.classes), "notes": json.dumps(raw.notes)}
    with replacing(path) as file:
        file.write(safetensors_bytes(tensors, text))


def load(path: Path) -> Raw | None:
    """What ``save`` wrote, or None when there is nothing usable."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping: it has no iterator)
            return Raw(
                tensors["images"],
                tensors["labels"],
                tuple(json.loads(text["classes"])),
                tensors.get("test_images"),
                tensors.get("test_labels"),
                tuple(json.loads(text["notes"])),
            )
    except (SafetensorError, KeyError, ValueError, OSError):
        path.unlink(missing_ok=True)  # a damaged copy costs one more decoding, nothing else
        return None
