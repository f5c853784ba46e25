"""Changing files so that they stay nearly right: what a parser looks at is behind what it checks first."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

NUMBERS = (0, 1, -1, 2, 7, 255, 65_535, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, -(2**63), 2**64, 10**30, 0.5, -0.0)
TEXTS = (
    "",
    "\x00",
    "../../x",
    "/etc/passwd",
    "é" * 50,
    "{}",
    "[]",
    "NaN",
    "1e999",
    "a" * 5000,
    "<b>",
    "=1+1",
    "__class__",
)
LONGEST = 1 << 20  # bytes of a file
MOST_NODES = 4000


def mutate(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """Another file than ``data``, like it in most places. ``others``: files from which parts are borrowed."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = _once(data, dice, others)
    return data[:LONGEST]


def _once(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    if dice.random() < 0.75:
        if data[:2] == b"PK":
            return _zip(data, dice, others)
        if (tree := _tree(data)) is not None:
            return json.dumps(_node(tree, dice)).encode("utf-8", "surrogatepass")
        if (parts := _safetensors(data)) is not None:
            head = json.dumps(_node(parts[0], dice)).encode("utf-8", "surrogatepass")
            length = len(head) if dice.random() < 0.9 else dice.choice(NUMBERS[:12]) & (2**64 - 1)
            return struct.pack("<Q", length) + head + parts[1]
        if data[:6] == b"\x93NUMPY":
            return _npy(data, dice)
        if data[:4] == b"RIFF":
            return _field(data, dice, min(len(data), 60))
        if data[:4] == b"PAR1":
            return _parquet(data, dice)
        if (rows := _rows(data)) is not None:
            return _cell(rows, dice)
    return _bytes(data, dice, others)


def _zip(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """One member is changed, dropped, doubled or renamed; the rest and all sums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [
                (each.filename, archive.read(each)) for each in archive.infolist()[:200] if each.file_size < LONGEST
            ]
    except Exception:  # hostile ones cannot be read
        return _bytes(data, dice, others)
    if not members:
        return _bytes(data, dice, others)
    at = dice.randrange(len(members))
    name, body = members[at]
    match dice.randrange(8):
        case 0:
            del members[at]
        case 1:
            members.append((name, _once(body, dice, others)))
        case 2:
            members[at] = (dice.choice((*TEXTS, name.upper(), name + "/x", members[0][0])) or "x", body)
        case _:
            members[at] = (name, _once(body, dice, others))
    out = io.BytesIO()
    how = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in members:
            try:
                archive.writestr(zipfile.ZipInfo(name.replace("\x00", "_")), body, how)  # of no time: the same again
            except (ValueError, UnicodeError):
                continue
    return out.getvalue()


def _tree(data: bytes) -> Any:
    if data[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _safetensors(data: bytes) -> tuple[Any, bytes] | None:
    if len(data) < 10 or data[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", data[:8])
    tree = _tree(data[8 : 8 + length]) if length < LONGEST else None
    return None if tree is None else (tree, data[8 + length :])


def _npy(data: bytes, dice: random.Random) -> bytes:
    head, _, rest = data.partition(b"\n")
    words = [b"(", b")", b"'<f4'", b"'|O'", b"'<U9999999'", b"True", b"-1", b"99999999999", b",", b"'<M8[s]'", b"{"]
    at = dice.randrange(10, max(11, len(head)))
    return head[:at] + dice.choice(words) + head[at + dice.randrange(3) :] + b"\n" + rest


def _field(data: bytes, dice: random.Random, end: int, start: int = 0) -> bytes:
    """Another number where a heading has one."""
    at, size = dice.randrange(start, max(start + 1, end)), dice.choice((1, 2, 4))
    number = struct.pack("<Q", int(dice.choice(NUMBERS)) & (2**64 - 1))[:size]
    return data[:at] + number + data[at + size :]


def _parquet(data: bytes, dice: random.Random) -> bytes:
    """Changed within what describes the columns, which lies at the end behind its length."""
    (length,) = struct.unpack("<I", data[-8:-4].rjust(4, b"\x00"))
    return _field(data, dice, len(data), max(0, len(data) - 8 - min(length, len(data))))


def _rows(data: bytes) -> list[list[bytes]] | None:
    """The cells of a text whose first line has several."""
    first, _, rest = data.partition(b"\n")
    if (
        not rest
        or b"\x00" in data[:1000]
        or not (between := next((each for each in (b",", b"\t", b";") if each in first), b""))
    ):
        return None
    return [[each + between for each in line.split(between)] for line in data.split(b"\n")[:MOST_NODES]]


def _cell(rows: list[list[bytes]], dice: random.Random) -> bytes:
    """One cell is replaced, removed, doubled or moved, in one row or, rarely, in all."""
    between, row = rows[0][0][-1:], dice.choice(rows)
    at = dice.randrange(len(row))
    leaf = str(dice.choice((*TEXTS, *NUMBERS, "nan", "-inf", '"', "1,5", "2020-01-01", "true"))).encode()
    match dice.randrange(8):
        case 0:
            rows.remove(row)
        case 1:
            rows.extend([list(row)] * dice.choice((1, 3, 300)))
        case 2:
            del row[at]
        case 3:
            row[at:at] = [leaf + between] * dice.choice((1, 2, 300))
        case 4:
            for each in rows[1:]:
                each[at : at + 1] = [leaf + between]
        case 5:
            row[at] = dice.choice(dice.choice(rows) or [leaf])
        case _:
            row[at] = leaf + between
    return b"\n".join(b"".join(each)[: -len(between)] for each in rows)


def _node(tree: Any, dice: random.Random) -> Any:
    """The tree with one node replaced, removed, doubled or wrapped."""
    places = _places(tree)
    if not places:
        return _leaf(dice)
    parent, key = dice.choice(places)
    match dice.randrange(6):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.append(parent[key])
        case 1:
            parent[str(dice.choice((*TEXTS, *NUMBERS)))] = parent[key]
        case 2:
            parent[key] = [parent[key]] * dice.choice((1, 3, 300))
        case 3:
            other, there = dice.choice(places)
            parent[key] = copy.deepcopy(other[there]) if _size(other[there]) < 50 else _leaf(dice)
        case _:
            parent[key] = _leaf(dice)
    return tree


def _leaf(dice: random.Random) -> Any:
    return dice.choice((*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], float("nan"), float("inf")))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    open_nodes = [tree]
    while open_nodes and len(found) < MOST_NODES:
        node = open_nodes.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            open_nodes.append(node[key])
    return found


def _size(tree: Any) -> int:
    return 1 + len(_places(tree))


def _bytes(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\x00")
    at = dice.randrange(len(changed))
    match dice.randrange(6):
        case 0:
            changed[at] = dice.randrange(256)
        case 1:
            changed[at] ^= 1 << dice.randrange(8)
        case 2:
            del changed[at : at + dice.choice((1, 2, 8, 100, len(changed)))]
        case 3:
            number = struct.pack("<Q", int(dice.choice(NUMBERS)) & (2**64 - 1))[: dice.choice((1, 2, 4, 8))]
            changed[at : at + len(number)] = number
        case 4:
            other = dice.choice(others) if others else bytes(changed)
            start = dice.randrange(max(1, len(other)))
            changed[at:at] = other[start : start + dice.choice((4, 32, 500))]
        case _:
            changed[at:at] = changed[max(0, at - dice.choice((1, 16, 200))) : at] * dice.choice((1, 2, 50))
    return bytes(changed)
