"""From a repository in a zip to the numbers of a network, and what builds it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.finite import check_finite
from pruning_core.zoo.huggingface_files.archive import AGAIN, Parts, parts
from pruning_core.zoo.huggingface_files.building import configured, outline
from pruning_core.zoo.huggingface_files.described import Described, judged
from pruning_core.zoo.huggingface_files.library import library
from pruning_core.zoo.huggingface_files.pixels import Pixels, pixels

USUAL_SIDE, USUAL_CHANNELS = 224, 3
MARGIN = 2  # a network of so many times the weights is still compared with them, name by name
SHOWN = 4  # keys named in a message


@dataclass(frozen=True, eq=False)
class Read:
    """``tensors``: by the names that the class of transformers has; ``size``: (C, H, W) of images."""

    described: Described
    tensors: Mapping[str, Tensor]
    size: tuple[int, int, int]
    notes: tuple[str, ...]


def read_repository(path: Path, name: str) -> Read:
    """The network in the zip at ``path``, which the user calls ``name``.

    Raises UserError when it is damaged, hostile or too large, is of no class for images that transformers has, or when
    its weights are not exactly those of that class.
    """
    found = parts(path, name)
    described = judged(found.config, name)
    stored = sum(tensor.numel() for tensor in found.tensors.values())
    outline(described, MARGIN * stored)
    check_finite(found.tensors, name)
    tensors = _loaded(described, found, name)
    told = pixels(found.pixels)
    kinds = {str(t.dtype).removeprefix("torch.") for t in found.tensors.values() if t.is_floating_point()} - {"float32"}
    notes = tuple(f"weights stored as {kind} are computed as float32" for kind in sorted(kinds))
    said = f"{described.name} of transformers {library().__version__}, built from config.json"
    described = replace(described, mean=told.mean, std=told.std)
    return Read(described, tensors, _size(described, told), (said, *described.notes, *told.notes, *notes))


def _loaded(described: Described, found: Parts, name: str) -> dict[str, Tensor]:
    """The weights under present names; transformers knows how older versions called them."""
    cls = getattr(library(), described.name)
    try:
        model, info = cls.from_pretrained(
            None, config=configured(described), state_dict=dict(found.tensors), dtype=torch.float32,
            local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    except Exception as error:  # names of a stranger's tensors may fail in any way
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The weights in {quoted(name)} do not go into {described.name}: {clip(line, 160)}") from error
    _check_loaded(info, described, name)
    return {key: tensor.detach() for key, tensor in model.state_dict().items()}


def _check_loaded(info: Mapping[str, Any], described: Described, name: str) -> None:
    kinds = (("missing", "missing_keys"), ("unexpected", "unexpected_keys"), ("of another shape", "mismatched_keys"))
    odd = [f"{what}: {_some(info[key])}" for what, key in kinds if info[key]]
    if odd:
        raise UserError(
            f"The weights in {quoted(name)} are not those of the {described.name} that its config.json describes "
            f"({'; '.join(odd)}). {AGAIN}"
        )


def _some(keys: Any) -> str:
    names = sorted(each if isinstance(each, str) else _reshaped(each) for each in keys)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(clip(each) for each in names[:SHOWN]) + more


def _reshaped(each: Any) -> str:
    key, stored, wanted = each
    return f"{clip(str(key))} ({tuple(wanted)}, found {tuple(stored)})"


def _size(described: Described, told: Pixels) -> tuple[int, int, int]:
    """As images are prepared, else as the configuration says."""
    config: Any = configured(described)
    config = getattr(config, "vision_config", config)
    side = getattr(config, "image_size", USUAL_SIDE)
    own = tuple(side) if isinstance(side, list | tuple) else (side, side)
    height, width = told.side or own
    return int(getattr(config, "num_channels", USUAL_CHANNELS)), height, width
