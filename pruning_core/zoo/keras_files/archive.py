"""The parts of a ``.keras`` file: a zip of two descriptions and the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.kinds import MAX_FILE_BYTES

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
MOST_JSON = 32 << 20  # bytes of a description; a network of 500 layers has half a million
AGAIN = "Save it again with model.save('model.keras')."


@dataclass(frozen=True, eq=False)
class Parts:
    """The description of a network, the bytes of its file of weights, and the version of Keras that wrote them."""

    said: Any
    weights: bytes
    version: str


def parts(path: Path, name: str) -> Parts:
    """What the file at ``path`` holds. Raises UserError where something is missing or damaged."""
    with open_zip(path, name, MAX_FILE_BYTES) as archive:
        members = {member.filename: member for member in archive.infolist()}
        missing = [part for part in (METADATA, CONFIG, WEIGHTS) if part not in members]
        if missing:
            raise UserError(f"{quoted(name)} lacks {missing[0]}, so it is no whole network of Keras. {AGAIN}")
        if max(members[METADATA].file_size, members[CONFIG].file_size) > MOST_JSON:
            raise UserError(
                f"{quoted(name)} describes its layers in more than {MOST_JSON >> 20} MiB of text. It was not read."
            )
        version = _version(_json(read_member(archive, METADATA, name), name))
        if version.partition(".")[0] != "3":
            raise UserError(
                f"{quoted(name)} was saved by Keras {clip(version, 20)}; files of Keras 3 are read. Load it in Keras 3 "
                "and save it again with model.save('model.keras')."
            )
        said = _json(read_member(archive, CONFIG, name), name)
        return Parts(said, read_member(archive, WEIGHTS, name), version)


def _version(metadata: Any) -> str:
    said = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) else "of an unknown version"


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{quoted(name)} is damaged: its description cannot be read. {AGAIN}") from error
