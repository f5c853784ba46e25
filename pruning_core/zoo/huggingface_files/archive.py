"""The parts of a repository in a zip: two descriptions and the weights, in one file or in shards."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.containers import check_memory
from pruning_core.zoo.kinds import CONFIG, MAX_FILE_BYTES

WEIGHTS, INDEX, PIXELS = "model.safetensors", "model.safetensors.index.json", "preprocessor_config.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
MOST_JSON = 32 << 20  # bytes
COPIES = 4  # of the weights are in memory at once: the file, as stored, as float32, in the network
AGAIN = "Save it again with model.save_pretrained('folder'), and send the files that this writes."


@dataclass(frozen=True, eq=False)
class Parts:
    """``config`` and ``pixels`` as the JSON says them, unjudged; ``pixels`` is {} where there is no such file."""

    config: Mapping[str, Any]
    pixels: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def parts(path: Path, name: str) -> Parts:
    """What lies in the zip at ``path``. Raises UserError where a part is missing, damaged, too large or contradicts
    another one."""
    with open_zip(path, name, MAX_FILE_BYTES) as archive:
        members = _beside_config(archive, name)
        config = _described(archive, members, CONFIG, name)
        pixels = _described(archive, members, PIXELS, name) if PIXELS in members else {}
        wanted = sum(each.file_size for file, each in members.items() if file.endswith(".safetensors"))
        check_memory(COPIES * wanted, name)
        return Parts(config, pixels, _weights(archive, members, name))


def _beside_config(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The files of the one folder that holds a config.json, by their names in it."""
    files = {PurePosixPath(each.filename): each for each in archive.infolist() if not each.is_dir()}
    found = sorted((each.parent for each in files if each.name == CONFIG), key=lambda folder: len(folder.parts))
    if not found or (len(found) > 1 and len(found[0].parts) == len(found[1].parts)):
        raise UserError(f"{quoted(name)} holds {len(found)} networks. Send the files of one at a time.")
    return {each.name: info for each, info in files.items() if each.parent == found[0]}


def _described(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], part: str, name: str) -> Any:
    if members[part].file_size > MOST_JSON:
        raise UserError(f"{part} in {quoted(name)} has more than {MOST_JSON >> 20} MiB. It was not read.")
    try:
        said = json.loads(read_member(archive, members[part], name).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{part} in {quoted(name)} is damaged: it cannot be read. {AGAIN}") from error
    if not isinstance(said, dict):
        raise UserError(f"{part} in {quoted(name)} describes nothing. {AGAIN}")
    return said


def _weights(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> dict[str, Tensor]:
    if WEIGHTS in members:
        return _tensors(archive, members[WEIGHTS], name)
    if INDEX in members:
        return _of_shards(archive, members, name)
    pickled = next((each for each in PICKLES if each in members), "")
    if pickled:
        raise UserError(
            f"{quoted(name)} keeps its weights as {pickled}, a pickle, which is not read from a repository. Load it "
            "with transformers and save it with model.save_pretrained('folder'), which writes model.safetensors."
        )
    raise UserError(f"{quoted(name)} has a {CONFIG} but no {WEIGHTS}. Put the file with the weights beside it.")


def _of_shards(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> dict[str, Tensor]:
    """Every tensor from the shard that the index names, which holds what the index says and nothing else."""
    said = _described(archive, members, INDEX, name).get("weight_map")
    if not isinstance(said, dict) or not all(isinstance(each, str) for each in said.values()):
        raise UserError(f"{INDEX} in {quoted(name)} does not say which tensor lies where. {AGAIN}")
    found: dict[str, Tensor] = {}
    for shard in sorted(set(said.values())):
        if shard not in members or not shard.endswith(".safetensors"):
            raise UserError(f"{INDEX} in {quoted(name)} names {quoted(shard)}, which is not beside it. Add that file.")
        held = _tensors(archive, members[shard], name)
        promised = {key for key, where in said.items() if where == shard}
        if odd := sorted(promised ^ set(held)):
            raise UserError(
                f"{quoted(shard)} in {quoted(name)} holds other tensors than {INDEX} says ({clip(odd[0])}). The files "
                f"are not of one network. {AGAIN}"
            )
        found |= held
    return found


def _tensors(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(read_member(archive, member, name))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{quoted(member.filename)} in {quoted(name)} is damaged. {AGAIN}") from error
