"""Exported programs (.pt2): networks that need no architecture code."""

from __future__ import annotations

import io
import json
import math
import os
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx

from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.errors import UserError, quoted
from pruning_core.zoo.advice import EXPORT
from pruning_core.zoo.exported_rules import cleaned
from pruning_core.zoo.interface import ANOTHER, LONGEST_NAME, NOTHING, Declared, Wanted, batch_of, check_types
from pruning_core.zoo.kinds import MAX_FILE_BYTES
from pruning_core.zoo.programs.layers import Restored, restore_layers
from pruning_core.zoo.programs.program import Program

ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}  # by torch's stable scalar type numbers
TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
         12: "bool"}  # fmt: skip
CARRIED = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
MOST_JSON = 32 << 20  # bytes of the graph's description; a network of 2,000 operators has two million
AGAIN = f"Export it again with {EXPORT}."
NOTE = "An exported program: whatever behaves differently in train and eval mode is as it was when it was exported."

_LOADING = threading.Lock()  # torch keeps the program being read in a global


def read_exported(path: Path, name: str, wanted: Wanted = NOTHING) -> Program:
    """The program in the file at ``path``, which the user calls ``name``; ``wanted``: what they say of it.

    Nothing in the file runs: its graph is judged and rewritten first, pickled parts are refused, and what it would hold
    and do is found out on shapes alone. Batch norms and dropout are layers again. Raises UserError when it is damaged,
    hostile, too large, holds compiled code, or takes anything but batches of numbers.
    """
    data, program = _rewritten(path, name)
    declared = _inputs(program, name)
    batch = batch_of(declared, name)
    with _LOADING, _weights_only():
        try:
            loaded = torch.export.load(io.BytesIO(data))
            model = loaded.module()
        except Exception as error:  # the deserialiser raises whatever its asserts and lookups raise
            raise UserError(f"{quoted(name)} cannot be read by this version of torch. {AGAIN}") from error
    _unguarded(model)
    return Program.of(model, wanted.closed(declared, name), batch, name, _note(restore_layers(model)), wanted)


def _note(restored: Restored) -> str:
    """What to say of its modes."""
    layers = [(restored.norms, "batch norms"), (restored.dropouts, "dropout")]
    follow = " and ".join(what for count, what in layers if count)
    if not follow:
        return NOTE
    if restored.training:
        return (
            f"an exported program: {follow} follow train and eval mode, all else is as it was when it was exported "
            "(in training mode)"
        )
    return f"an exported program: {follow} follow train and eval mode, all else is as it was when it was exported"


def _unguarded(model: fx.GraphModule) -> None:
    """Take away what torch adds to a program: checks of the input's sizes, and modes that refuse to be switched."""
    for node in list(model.graph.nodes):
        if node.op == "call_module":
            model.graph.erase_node(node)
    model._forward_pre_hooks.clear()
    model._forward_pre_hooks_with_kwargs.clear()
    for switch in ("train", "eval"):
        model.__dict__.pop(switch, None)
    model.recompile()
    model.delete_all_unused_submodules()


def _rewritten(path: Path, name: str) -> tuple[bytes, dict[str, Any]]:
    """A new archive that holds only what was judged, and its graph."""
    out = io.BytesIO()
    with open_zip(path, name, MAX_FILE_BYTES) as archive, zipfile.ZipFile(out, "w") as copy:
        folder = next(member for member in archive.namelist()).partition("/")[0]
        members = {member.filename.removeprefix(f"{folder}/"): member for member in archive.infolist()}
        program: dict[str, Any] | None = None
        for inner, member in members.items():
            if inner in CARRIED:
                copy.writestr(f"{folder}/{inner}", read_member(archive, member, name))
            elif inner == "models/model.json":
                if member.file_size > MOST_JSON:
                    raise UserError(
                        f"{quoted(name)} describes its graph in {member.file_size >> 20} MiB of text; at most "
                        f"{MOST_JSON >> 20} MiB are read. {AGAIN}"
                    )
                program = cleaned(_json(read_member(archive, member, name), name))
                copy.writestr(f"{folder}/{inner}", json.dumps(program))
            elif inner.startswith(("data/aotinductor/", "data/executorch/")):
                raise UserError(f"{quoted(name)} holds compiled code, which would run when loaded. {AGAIN}")
            elif inner.startswith("models/"):
                raise UserError(f"{quoted(name)} holds several programs; one is expected. {AGAIN}")
        if program is None:
            raise UserError(f"{quoted(name)} holds no program. {AGAIN}")
        for kind, prefix in (("weights", "weight_"), ("constants", "tensor_")):
            _copy_tensors(archive, copy, members, folder, kind, prefix, name)
        copy.writestr(f"{folder}/data/sample_inputs/model.pt", b"")  # an unpickled example is not needed to run it
    return out.getvalue(), program


def _copy_tensors(
    archive: zipfile.ZipFile, copy: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], folder: str, kind: str,
    prefix: str, name: str,
) -> None:  # fmt: skip
    listed = f"data/{kind}/model_{kind}_config.json"
    if listed not in members:
        raise UserError(f"{quoted(name)} was exported with a torch older than 2.9, or is damaged. {AGAIN}")
    config = _json(read_member(archive, members[listed], name), name)
    try:
        entries = list(config["config"].values())
        for entry in entries:
            file = f"data/{kind}/{entry['path_name']}"
            number = entry["path_name"].removeprefix(prefix)
            if entry["use_pickle"] or not entry["path_name"].startswith(prefix) or not number.isdecimal():
                raise UserError(f"{quoted(name)} holds pickled objects, which would run code when read. {AGAIN}")
            if not _inside(entry["tensor_meta"], members[file].file_size):
                raise UserError(
                    f"A tensor of {quoted(name)} claims more numbers than the file stores. It was not loaded."
                )
        for file in sorted({f"data/{kind}/{entry['path_name']}" for entry in entries}):
            copy.writestr(f"{folder}/{file}", read_member(archive, members[file], name))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{quoted(name)} is damaged: its list of {kind} cannot be read. {AGAIN}") from error
    copy.writestr(f"{folder}/{listed}", json.dumps(config))


def _inside(meta: Mapping[str, Any], size_bytes: int) -> bool:
    """Whether the strided view that ``meta`` describes lies inside a record of ``size_bytes``, and repeats nothing."""
    sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
    offset = int(meta["storage_offset"]["as_int"])
    items = size_bytes // ITEM_BYTES[meta["dtype"]]
    count = math.prod(sizes)
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) if count else -1
    return min(offset, *sizes, *strides, 0) >= 0 and count <= items and last < items and meta["layout"] == 7


def _inputs(program: Mapping[str, Any], name: str) -> tuple[Declared, ...]:
    """What the user gives. Raises UserError for anything but tensors with a batch first."""
    try:
        module = program["graph_module"]
        specs = module["signature"]["input_specs"]
        if any("constant_input" in spec for spec in specs):
            raise TypeError("a number of the example is written into the program, and still asked for")
        users = [spec["user_input"]["arg"] for spec in specs if "user_input" in spec]
        found = tuple(_declared(user, module["graph"]["tensor_values"]) for user in users)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{quoted(name)} takes something that is no tensor. Export the network with tensors as its only inputs."
        ) from error
    check_types(found, name)
    return found


def _declared(user: Mapping[str, Any], tensors: Mapping[str, Any]) -> Declared:
    called = str(user["as_tensor"]["name"])
    meta = tensors[called]
    dims: list[int | str] = []
    usual: list[int] = []
    for size in meta["sizes"]:
        fixed = "as_int" in size
        usual.append(int(size["as_int"]) if fixed else int(size["as_expr"]["hint"]["as_int"]))
        dims.append(usual[-1] if fixed else "")
    kind = TYPES.get(int(meta["dtype"]), ANOTHER)
    return Declared(called[:LONGEST_NAME], tuple(dims), kind, tuple(usual[1:]))


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{quoted(name)} is damaged: its description cannot be read. {AGAIN}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch's own last line of defence, for pickles that the rewriting already removed."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
