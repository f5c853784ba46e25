"""What kind of file this is, told from its bytes; the name only helps where bytes cannot."""

from __future__ import annotations

import tarfile
from enum import Enum
from pathlib import Path

from pruning_core.datasets.safe_zip import open_zip
from pruning_core.errors import UserError
from pruning_core.zoo.advice import EXPORT, WEIGHTS

MAX_FILE_BYTES = 4 << 30
CONFIG = "config.json"
WAY_OUT = f"Save the weights with {WEIGHTS}, or the whole network with {EXPORT}."


class Kind(Enum):
    """Files that hold a network or its weights."""

    TORCH = "checkpoint"
    LEGACY = "checkpoint of the old format"
    SAFETENSORS = "safetensors"
    EXPORTED = "exported program"
    ONNX = "ONNX"
    KERAS = "Keras"
    HUGGING_FACE = "repository of Hugging Face"


def kind_of(path: Path, name: str) -> Kind:
    """The kind of the file at ``path``, which the user calls ``name``.

    Raises UserError for anything that holds no network, or one that cannot be read safely, and says what to do.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(f"{name!r} has {size / 2**30:.1f} GiB; at most {MAX_FILE_BYTES >> 30} GiB are read.")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise UserError(f"{name!r} is empty. Save and upload it again.")
    if start[:4] == b"PK\x03\x04":
        return _zip_kind(path, name)
    if start[:2] == b"\x80\x02" and len(start) > 2:
        return Kind.LEGACY
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return Kind.SAFETENSORS
    if tarfile.is_tarfile(path):
        raise UserError(f"{name!r} is a tar file, torch's oldest format, which cannot be read safely. {WAY_OUT}")
    if Path(name).suffix.lower() == ".onnx" and start[0] == 0x08:
        return Kind.ONNX
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        raise UserError(
            f"{name!r} is a file of HDF5, as Keras wrote its networks before, or weights alone. Load the network in "
            "Keras 3 and save it with model.save('model.keras')."
        )
    if start[:1] == b"\x80":
        raise UserError(f"{name!r} is a plain pickle, which would run code when read. {WAY_OUT}")
    what = "a text file" if _is_text(start) else "no file that holds a network, or it is damaged"
    raise UserError(f"{name!r} is {what}, whatever its name says. {WAY_OUT}")


def _zip_kind(path: Path, name: str) -> Kind:
    with open_zip(path, name, MAX_FILE_BYTES) as archive:
        inside = {member.partition("/")[2] or member for member in archive.namelist()}
    if "data.pkl" in inside:
        if "constants.pkl" in inside or any(member.startswith("code/") for member in inside):
            raise UserError(
                f"{name!r} is a TorchScript file: its code is compiled into it, and its layers cannot be taken apart. "
                f"{WAY_OUT}"
            )
        return Kind.TORCH
    if CONFIG in inside:
        return Kind.KERAS if "metadata.json" in inside else Kind.HUGGING_FACE
    if "archive_format" in inside:
        return Kind.EXPORTED
    if "serialized_exported_program.json" in archive.namelist():
        raise UserError(
            f"{name!r} was exported with a torch older than 2.8. Export it again with the present one: {EXPORT}."
        )
    if any(member.endswith(".safetensors") for member in inside):
        raise UserError(f"{name!r} holds weights but no {CONFIG}, which says what they are of. Send both together.")
    raise UserError(f"{name!r} is a zip file without a network in it. {WAY_OUT}")


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        text = start[: error.start].decode("utf-8") if error.start > len(start) - 4 else ""
    return bool(text) and all(character.isprintable() or character.isspace() for character in text)
