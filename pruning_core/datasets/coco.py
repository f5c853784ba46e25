"""COCO's JSON beside images: boxes and outlines of things, read as boxes, masks, or several labels for each image."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pruning_core.datasets import images, pictures, run_lengths
from pruning_core.datasets.findings import Finding, places
from pruning_core.datasets.images import SUFFIXES, Kind
from pruning_core.datasets.leftovers import beside, is_left_behind, suffix
from pruning_core.datasets.opened import Members, Opened
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.targets import BOXES, NUMBERS
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit

MAX_BYTES = 256 << 20  # of the JSON
TAKES = 10  # times its size that it takes while it is read
MAX_CATEGORIES = 254  # one number is left for what nobody labelled, and 0 for what is nothing
MAX_DRAWN = 200_000_000_000  # pixels, if each outline were as large as its image
MAX_POINTS = 100_000  # of one outline
MAX_THINGS = 400_000  # annotations
MAX_BOXES = 2_000  # around things in one image
MASKS, LABELS = "masks", "labels"  # what annotations are read as, beside boxes
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Thing:
    """One annotation: its category by place, its box (x, y, width, height) in pixels, and outlines, x and y in turn, or
    the run lengths of its mask. ``crowd``: it stands for many things that nobody told apart."""

    category: int
    box: tuple[float, float, float, float] | None
    outlines: tuple[tuple[float, ...], ...] = ()
    runs: tuple[int, ...] = ()
    crowd: bool = False

    @property
    def outlined(self) -> bool:
        return bool(self.outlines or self.runs)


@dataclass(frozen=True, eq=False)
class Annotated:
    """Images in the order of their names, each with its sides (H, W) as the JSON says them, and its things."""

    members: Members
    sides: Sequence[tuple[int, int]]
    things: Sequence[tuple[Thing, ...]]
    categories: tuple[str, ...]
    findings: tuple[Finding, ...]


def json_in(names: Sequence[str]) -> int | None:
    """The only JSON among ``names``, beside pictures; else None."""
    found = [at for at, each in enumerate(names) if suffix(each) == ".json" and not is_left_behind(each)]
    there = any(suffix(each) in SUFFIXES for each in names)
    return found[0] if len(found) == 1 and there else None


def read(opened: Opened, at: int, size: tuple[int, int] | None, task: str, progress: Progress) -> Raw | None:
    """The images, with labels as ``task`` says: "boxes" float32 (N, M, 6), see ``targets.NUMBERS``; "labels" float32
    (N, categories) of 0 and 1: what occurs in an image; "masks" uint8 (N, H, W): 0 where nothing is, else the category,
    counted from 1. Any other takes masks where every thing has an outline, else boxes where every thing has one.

    None where the JSON is not COCO's. Raises UserError naming what is wrong in it.
    """
    found = annotated(opened, at)
    if found is None:
        return None
    outlined, boxed = (all(of(t) for ts in found.things for t in ts) for of in (lambda t: t.outlined, lambda t: t.box))
    where = opened.names[at]
    if task == MASKS and not outlined:
        raise UserError(
            f"Not everything in {quoted(where)} has an outline (a polygon or run lengths), so there are no masks. Read "
            "it as several labels for each image."
        )
    if task == BOXES and not boxed:
        raise UserError(
            f"Not everything in {quoted(where)} has a box, so that right answers would count as wrong. Read it as "
            "several labels for each image."
        )
    decoded, converted = pictures.decoded(found.members, opened.name, size, progress)
    headers = pictures.headers(found.members, progress)
    for (height, width), header, (_, _, name) in zip(found.sides, headers, found.members.chosen, strict=True):
        if (header.height, header.width) != (height, width):
            raise UserError(
                f"{quoted(opened.names[at])} says that {quoted(name)} has {width} × {height} pixels, and it has "
                f"{header.width} × {header.height}. Send the images that were annotated."
            )
    way = task if task in (MASKS, LABELS, BOXES) else MASKS if outlined else BOXES if boxed else LABELS
    said: list[Finding] = [places.Annotations(sum(map(len, found.things)), found.categories, way)]
    match way:
        case "masks":
            labels = _masks(found, (decoded.shape[2], decoded.shape[3]), opened.name)
        case "boxes":
            labels, more = _boxes(found, opened.names[at])
            said += more
        case _:
            labels = _occurring(found)
    names = tuple(name for _, _, name in found.members.chosen)
    return Raw(decoded, labels, (), findings=(*said, *found.findings, *opened.findings, *converted), names=names)


def annotated(opened: Opened, at: int) -> Annotated | None:
    """What the JSON, member ``at``, says of the pictures; None where it is not COCO's. Raises UserError."""
    where, size = opened.names[at], opened.archive.infolist()[at].file_size
    if size > MAX_BYTES:
        raise UserError(f"{quoted(where)} is larger than {MAX_BYTES >> 20} MB. Send fewer images at a time.")
    must_fit(TAKES * size, quoted(where), "Send fewer images at a time.")
    try:
        told = json.loads(opened.data(at))
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise UserError(f"{quoted(where)} is no JSON: it is damaged or cut short. Save it again.") from error
    if not isinstance(told, dict) or not {"images", "annotations", "categories"} <= told.keys():
        return None
    try:
        return _understood(told, opened, at)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{quoted(where)} is not as COCO's JSON is: its images, annotations and categories do not hold what they "
            "should. Export it again."
        ) from error


def _understood(told: dict[str, Any], opened: Opened, at: int) -> Annotated:
    where = opened.names[at]
    categories = sorted((int(each["id"]), str(each["name"])) for each in told["categories"])
    if not 0 < len(categories) <= MAX_CATEGORIES:
        raise UserError(f"{quoted(where)} has {len(categories):,} categories; 1 to {MAX_CATEGORIES} are read.")
    place = {number: n for n, (number, _) in enumerate(categories)}
    by_file = {each: n for n, each in enumerate(opened.names) if suffix(each) in SUFFIXES and not is_left_behind(each)}
    short = {each.rpartition("/")[2]: each for each in by_file}
    things: dict[int, list[Thing]] = {}
    sides: dict[int, tuple[int, int]] = {}
    named: list[tuple[str, int, tuple[int, int]]] = []
    for each in told["images"]:
        file = str(each["file_name"])
        name = file if file in by_file else short.get(file.rpartition("/")[2])
        if name is None:
            raise UserError(f"{quoted(where)} names {quoted(file)}, and the zip holds no such image. Put it in.")
        if int(each["id"]) in things:
            raise UserError(f"{quoted(where)} numbers two images {int(each['id'])}. Export it again.")
        things[int(each["id"])] = []
        sides[int(each["id"])] = (int(each["height"]), int(each["width"]))
        named.append((name, int(each["id"]), sides[int(each["id"])]))
    if not named:
        raise UserError(f"{quoted(where)} names no images. Export it again.")
    if len(told["annotations"]) > MAX_THINGS:
        raise UserError(
            f"{quoted(where)} has {len(told['annotations']):,} annotations; up to {MAX_THINGS:,} are read. Send a "
            "part of the images."
        )
    for each in told["annotations"]:
        number, kind = int(each["image_id"]), int(each["category_id"])
        if number not in things or kind not in place:
            what = f"image {number}" if number not in things else f"category {kind}"
            raise UserError(f"An annotation in {quoted(where)} is of {what}, which it does not name. Export it again.")
        told = each.get("segmentation")
        runs = run_lengths.understood(told, sides[number], where) if isinstance(told, dict) else ()
        box, crowd = _box(each.get("bbox")), bool(each.get("iscrowd"))
        things[number].append(Thing(place[kind], box, _outlines(told, where), runs, crowd))
    named.sort()
    used = {name for name, _, _ in named}
    others = [each for n, each in enumerate(opened.names) if n != at and each not in used and not each.endswith("/")]
    return Annotated(
        Members([(opened, by_file[name], name) for name, _, _ in named]),
        [sides for _, _, sides in named],
        [tuple(things[number]) for _, number, _ in named],
        tuple(name for _, name in categories),
        tuple(beside([each for each in others if is_left_behind(each)],
                     [each for each in others if not is_left_behind(each)])),
    )  # fmt: skip


def _box(given: Any) -> tuple[float, float, float, float] | None:
    if not given:
        return None
    x, y, width, height = (float(each) for each in given)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("a box that is not finite")
    return x, y, width, height


def _outlines(given: Any, where: str) -> tuple[tuple[float, ...], ...]:
    """Polygons; () where there are none."""
    if not isinstance(given, list):
        return ()
    found = []
    for each in given:
        numbers = tuple(float(number) for number in each)
        if len(numbers) > 2 * MAX_POINTS:
            raise UserError(f"An outline in {quoted(where)} has more than {MAX_POINTS:,} points. Simplify it.")
        if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
            raise ValueError("an outline of no three points")
        found.append(numbers)
    return tuple(found)


def _occurring(found: Annotated) -> Tensor:
    labels = torch.zeros(len(found.things), len(found.categories))
    for at, things in enumerate(found.things):
        for each in things:
            labels[at, each.category] = 1
    return labels


def _boxes(found: Annotated, where: str) -> tuple[Tensor, list[Finding]]:
    """float32 (N, M, 6), and what had to be done to the boxes."""
    most = max(1, *map(len, found.things))
    if most > MAX_BOXES:
        raise UserError(f"{quoted(where)} has {most:,} boxes for one image; up to {MAX_BOXES:,} are read.")
    needed = 2 * FLOAT * NUMBERS * most * len(found.things)
    must_fit(needed, f"The boxes of {quoted(where)}", "Send fewer images, or those with fewer boxes.")
    out = np.full((len(found.things), most, NUMBERS), (0, 0, 0, 0, -1, 0), dtype=np.float32)
    cut = empty = crowds = 0
    for at, ((height, width), things) in enumerate(zip(found.sides, found.things, strict=True)):
        kept = 0
        for each in things:
            assert each.box is not None  # whoever reads boxes has seen to it
            x, y, w, h = each.box
            whole = (x / width, y / height, (x + w) / width, (y + h) / height)
            inside = [min(max(side, 0.0), 1.0) for side in whole]
            if not (inside[0] < inside[2] and inside[1] < inside[3]):
                empty += 1
                continue
            cut += any(abs(new - old) * max(height, width) > 1 for new, old in zip(inside, whole))
            crowds += each.crowd
            out[at, kept] = (*inside, each.category, each.crowd)
            kept += 1
    if not bool((out[..., 4] >= 0).any()):
        raise UserError(f"No box of {quoted(where)} has any area inside its image. Export the annotations again.")
    said = places.BoxesMended(cut, empty, crowds)
    return torch.from_numpy(out), [said] if cut or empty or crowds else []


def _masks(found: Annotated, size: tuple[int, int], name: str) -> Tensor:
    """uint8 (N, H, W); where things overlap, the later one in the JSON is on top."""
    must_fit(2 * len(found.things) * size[0] * size[1], f"The masks of {name!r}", "Send fewer or smaller images.")
    drawn = sum(
        sum(len(each.outlines) + bool(each.runs) for each in things) * h * w
        for (h, w), things in zip(found.sides, found.things)
    )
    if drawn > MAX_DRAWN:
        raise UserError(f"The outlines of {name!r} would take too long to draw. Send smaller images or fewer outlines.")
    out = np.zeros((len(found.things), *size), dtype=np.uint8)
    for at, ((height, width), things) in enumerate(zip(found.sides, found.things, strict=True)):
        canvas = Image.new("L", (width, height))
        pen = ImageDraw.Draw(canvas)
        for each in things:
            for outline in each.outlines:
                pen.polygon([_near(number, max(height, width)) for number in outline], fill=each.category + 1)
            if each.runs:
                canvas.paste(each.category + 1, mask=Image.fromarray(run_lengths.mask(each.runs, (height, width))))
        if (height, width) != size:
            canvas = canvas.resize(size[::-1], Image.Resampling.NEAREST)
        out[at] = np.asarray(canvas)
    return torch.from_numpy(out)


def _near(number: float, side: int) -> float:
    """A point far outside an image costs as much time as the way to it."""
    return min(max(number, -side), 2 * side)


def boxed(opened: Opened, at: int, count: int) -> list[tuple[Image.Image, tuple[Thing, ...]]]:
    """The first ``count`` pictures with anything in them, decoded, and their things. Raises UserError."""
    found = annotated(opened, at)
    if found is None:
        return []
    chosen = [number for number, things in enumerate(found.things) if things][:count]
    shown = []
    for number in chosen:
        name, data = found.members.name(number), found.members.data(number)
        shown.append((images.shown(name, data, Kind.COLOUR).pixels, found.things[number]))
    return shown
