"""Sensitivity tables of other tools, read in: Distiller's and NNI's, by the names of layers."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pruning_core.allocation.by_sensitivity import Curve, checked_table
from pruning_core.errors import UserError, clip
from pruning_core.graph import Network, Role

DISTILLER, NNI = "Distiller", "NNI"
LARGEST = 4 << 20  # characters
TOLD = 3  # names in a sentence
KINDS = (
    "Choose a CSV with the columns parameter, sparsity, top1 (Distiller), one whose first line is layername and "
    "sparsities (NNI), or the dictionary of either as JSON."
)

Rows = dict[str, dict[float, float]]
"""Layer -> share removed -> accuracy, in the file's own unit."""


@dataclass(frozen=True)
class ReadTable:
    """``table`` as ``BySensitivity`` takes it. ``layers`` of the file stand in it, those in ``whole`` make no channels
    that can be cut here; ``baseline`` is the accuracy of the unpruned network in [0, 1], as the file or a person says.
    """

    source: str
    table: tuple[tuple[str, Curve], ...]
    layers: int
    whole: tuple[str, ...]
    baseline: float


def read_table(text: str, network: Network, baseline: float | None = None) -> ReadTable:
    """Drops per group of ``network``, from a file of accuracies per layer.

    A layer stands for the group that it makes the channels of; where several make the same ones, the largest drop
    counts. Neither file says whether filters or single weights were removed, nor on which data. Accuracies above 1 are
    per cent. ``baseline`` is needed where the file has no row of sparsity 0 (NNI's never has), in the file's unit.

    Raises UserError when the text is no such table, names a layer that the network does not have, or fits no group.
    """
    if len(text) > LARGEST:
        raise UserError(f"A sensitivity table has at most {LARGEST >> 20} MiB; this file is larger. {KINDS}")
    source, read = _read(text)
    rows = {name: found for name, found in read.items() if found}
    if not rows:
        raise UserError(f"This table holds no layer with accuracies. {KINDS}")
    whole = [found[0.0] for found in rows.values() if 0.0 in found]
    if not whole and baseline is None:
        raise UserError(
            "This table does not say how accurate the unpruned network is. Give that accuracy beside the file."
        )
    base = whole[0] if whole else float(baseline or 0.0)
    values = [base, *(value for found in rows.values() for value in found.values())]
    highest = max(values)
    if not (highest <= 100 and min(values) >= 0):
        raise UserError("This table holds numbers that are no accuracies: they lie outside 0 to 100. Choose another.")
    scale = 100.0 if source == DISTILLER or highest > 1 else 1.0
    table, left = _by_group(rows, network, base, scale)
    return ReadTable(source, checked_table(table), len(rows) - len(left), tuple(left), base / scale)


def _by_group(
    rows: Rows, network: Network, base: float, scale: float
) -> tuple[dict[str, list[tuple[float, float]]], list[str]]:
    makers = {m.layer: g.key for g in network.groups for m in g.members if m.role is Role.PRODUCER}
    names = {layer.name for layer in network.layer_costs()} | set(makers)
    short = {_plain(name): name for name in names}
    if unknown := [name for name in rows if _plain(name) not in short]:
        raise UserError(
            f"{len(unknown)} of the {len(rows)} layers in this table are not in this network: {_list(unknown)}. Choose "
            "the table of this network."
        )
    drops: dict[str, dict[float, float]] = {}
    left = []
    for name, found in rows.items():
        key = makers.get(short[_plain(name)])
        if key is None:
            left.append(name)
            continue
        mine = drops.setdefault(key, {})
        for ratio, value in found.items():
            if ratio > 0:
                drop = (base - value) / scale
                mine[ratio] = max(drop, mine.get(ratio, drop))
    if not any(drops.values()):
        raise UserError(
            f"No layer in this table makes channels that can be cut in this network ({_list(left)}). Choose another."
        )
    return {key: sorted(curve.items()) for key, curve in drops.items()}, left


def _plain(name: str) -> str:
    """A layer's name without what data parallelism and tables of parameters put around it."""
    return ".".join(part for part in name.removesuffix(".weight").split(".") if part != "module")


def _list(names: list[str]) -> str:
    return ", ".join(clip(name, 60) for name in names[:TOLD]) + (" …" if len(names) > TOLD else "")


def _read(text: str) -> tuple[str, Rows]:
    if text.lstrip("\ufeff \r\n\t").startswith("{"):
        return _from_dictionary(text)
    try:
        lines = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff")), skipinitialspace=True) if row]
    except csv.Error:  # a word without end
        raise UserError(f"This file is no table with commas between its words. {KINDS}") from None
    head = [word.strip().lower() for word in lines[0]] if lines else []
    if {"parameter", "sparsity", "top1"} <= set(head):
        return DISTILLER, _long(lines[1:], head)
    if head[:1] == ["layername"] and len(head) > 1:
        return NNI, _wide(lines[1:], [_ratio(word) for word in head[1:]])
    raise UserError(f"This is no sensitivity table that can be read here. {KINDS}")


def _long(lines: list[list[str]], head: list[str]) -> Rows:
    name, ratio, value = (head.index(each) for each in ("parameter", "sparsity", "top1"))
    rows: Rows = {}
    for line in lines:
        if len(line) <= max(name, ratio, value):
            raise UserError(f"A line of this table is too short: {clip(','.join(line), 80)}. Export the table again.")
        rows.setdefault(line[name], {})[_ratio(line[ratio])] = _number(line[value])
    return rows


def _wide(lines: list[list[str]], ratios: list[float]) -> Rows:
    """A line may end early: its layer was stopped at an accuracy that was too low."""
    return {line[0]: {ratio: _number(word) for ratio, word in zip(ratios, line[1:]) if word.strip()} for line in lines}


def _from_dictionary(text: str) -> tuple[str, Rows]:
    try:
        found = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise UserError(f"This file begins like a dictionary, but is no JSON. {KINDS}") from None
    triples = False
    rows: Rows = {}
    for name, curve in found.items():
        if not isinstance(curve, Mapping):
            raise UserError(f"{clip(name, 60)} has no accuracies by sparsity in this file. {KINDS}")
        for ratio, value in curve.items():
            if isinstance(value, list) and value:  # top-1, top-5, loss
                triples, value = True, value[0]
            rows.setdefault(name, {})[_ratio(ratio)] = _number(value)
    return (DISTILLER if triples else NNI), rows


def _ratio(word: str) -> float:
    value = _number(word)
    if not 0 <= value < 1:
        raise UserError(f"A sparsity of this table is {value:g}; it must lie in [0, 1). Export the table again.")
    return value


def _number(word: Any) -> float:
    if isinstance(word, str | int | float) and not isinstance(word, bool):
        try:
            value = float(word)
        except (ValueError, OverflowError):
            value = math.nan
        if math.isfinite(value):
            return value
    raise UserError(f"This table holds {clip(str(word), 40)!r} where a number should stand. Export it again.")
