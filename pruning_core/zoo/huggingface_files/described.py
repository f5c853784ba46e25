"""What a repository says of its network, judged: settings of a class that transformers has, and nothing that acts."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.advice import EXPORT
from pruning_core.zoo.huggingface_files.library import classifiers, configuration

WIDEST = 1 << 16  # no width, side, or number of layers or classes is larger
MOST_VALUES, LONGEST_TEXT, LONGEST_LABEL = 1000, 100, 80
FEW = 64  # channels
MOST_LABELLED = 100_000  # characters of all class names together: they travel with every reference
# What says how something runs or is stored, not what the network is; or makes it fetch another one.
IDLE = frozenset(
    {"dtype", "architectures", "transformers_version", "label2id", "output_hidden_states", "return_dict"}
    | {"problem_type", "is_encoder_decoder", "backbone", "backbone_config", "backbone_kwargs", "use_timm_backbone"}
    | {"use_pretrained_backbone"}
)
PER_LAYER, LABELS, COUNT = "per_layer_config", "id2label", "num_labels"
OWN_CODE = "its config names code of its own (auto_map), which never runs here: transformers has its own"
INSTEAD = f"Export the network where it runs, and bring it as .pt2: {EXPORT}."


@dataclass(frozen=True)
class Described:
    """``kind``: transformers' model_type; ``name``: of its class; ``settings``: of its configuration; ``labels``: names
    of classes, () where the file has none, or too many; ``mean``, ``std``: of pixels from 0 to 1 for each channel, ()
    where nothing says it; ``notes``: what is to be said of it."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """What :func:`from_json` reads, in one form."""
        said: dict[str, Any] = {
            "model_type": self.kind,
            "class": self.name,
            "settings": self.settings,
            "labels": self.labels,
        }
        said |= {"mean": self.mean, "std": self.std}
        return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Described:
    """Judged as a repository's own. Raises UserError for anything that ``to_json`` does not write."""
    try:
        said = json.loads(text)
        config = {**said["settings"], "model_type": said["model_type"], "architectures": [said["class"]]}
        if said["labels"]:
            config[LABELS] = {str(at): label for at, label in enumerate(said["labels"])}
        mean, std = numbers_of(said["mean"]), numbers_of(said["std"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError("This describes no network of Hugging Face. Bring its files again.") from error
    return dataclasses.replace(judged(config, "the description"), mean=mean, std=std)


def known_of(options: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Names of classes, mean and deviation of a reference's ``options``, as a network's provenance has them."""
    found = from_json(dict(options)["repository"])
    told = {"classes": found.labels, "mean": found.mean, "std": found.std}
    return {key: value for key, value in told.items() if value}


def numbers_of(said: Any) -> tuple[float, ...]:
    """A few plain numbers; () for anything else."""
    values = said if isinstance(said, list | tuple) else ()
    plain = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in values)
    return tuple(float(n) for n in values) if plain and len(values) <= FEW else ()


def judged(config: Mapping[str, Any], name: str) -> Described:
    """``config`` of the repository ``name``. Raises UserError where it is of no image classifier that transformers has,
    or asks for what no network has."""
    kind = config.get("model_type")
    known = classifiers()
    if not isinstance(kind, str) or kind not in known:
        said = quoted(kind) if isinstance(kind, str) else "none"
        code = " Its own code (auto_map) is never run here." if "auto_map" in config else ""
        raise UserError(
            f"{quoted(name)} says that its model_type is {said}, and transformers has no image classifier of that "
            f"kind.{code} {INSTEAD}"
        )
    if "quantization_config" in config:
        raise UserError(
            f"The weights in {quoted(name)} are quantised (quantization_config), which mean nothing as they stand. "
            "Send the repository from before that."
        )
    labels, count, notes = _labels(config, name)
    own = {key: config[key] for key in sorted(config) if key not in (LABELS, COUNT, "model_type")}
    settings = _settings(own, configuration(kind), name) | {COUNT: count}
    notes = (*notes, *([OWN_CODE] if "auto_map" in config else []))
    return Described(kind, _class(config, known[kind], name), settings, labels, notes=notes)


def _class(config: Mapping[str, Any], known: Sequence[str], name: str) -> str:
    said = config.get("architectures") or [known[0]]
    found = next((each for each in said if each in known), None) if isinstance(said, list) else None
    if found is None:
        other = clip(", ".join(map(str, said))) if isinstance(said, list) else "no list"
        raise UserError(
            f"{quoted(name)} is {other}, no image classifier: {known[0]} would be one. Networks that give scores of "
            f"classes are read from repositories. {INSTEAD}"
        )
    return str(found)


def _labels(config: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """(names of classes, how many there are, notes)"""
    said = config.get(LABELS)
    if said is None:
        count = config.get(COUNT, 2)  # as transformers takes it
        if not isinstance(count, int) or not 0 < count <= WIDEST:
            raise _odd(COUNT, name)
        return (), count, ()
    if not isinstance(said, dict) or set(said) != {str(at) for at in range(len(said))} or not 0 < len(said) <= WIDEST:
        raise _odd(LABELS, name)
    labels = tuple(clip(str(said[str(at)]), LONGEST_LABEL) for at in range(len(said)))
    unnamed = all(label == f"LABEL_{at}" for at, label in enumerate(labels))
    if unnamed:
        return (), len(labels), ()
    if sum(map(len, labels)) > MOST_LABELLED:
        return (), len(labels), (f"its {len(labels):,} names of classes are too many to be kept",)
    return labels, len(labels), ()


def _settings(said: Mapping[str, Any], cls: Any, name: str) -> dict[str, Any]:
    """What sets a field of ``cls``, and plain numbers beside it, which its code may ask for; all else is left out."""
    fields = {field.name for field in dataclasses.fields(cls)} - IDLE
    parts = {key: part for key, part in cls.sub_configs.items() if key in fields and dataclasses.is_dataclass(part)}
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key in parts:
            if value is not None and not isinstance(value, dict):
                raise _odd(key, name)
            found[key] = None if value is None else _settings(value, parts[key], name)
        elif key == PER_LAYER:
            found[key] = _per_layer(value, fields, name)
        elif key in fields or _is_beside(key, value, cls):
            found[key] = _plain(value, key, name)
    return found


def _is_beside(key: str, value: Any, cls: Any) -> bool:
    """Whether it is a number under a name that means nothing to the class itself."""
    return isinstance(value, int | float) and bool(re.fullmatch("[a-z][a-z0-9_]*", key)) and not hasattr(cls, key)


def _per_layer(said: Any, fields: set[str], name: str) -> dict[str, Any]:
    """Numbers of single layers: layer -> field -> value."""
    if not isinstance(said, dict) or len(said) > MOST_VALUES:
        raise _odd(PER_LAYER, name)
    found = {}
    for layer, own in said.items():
        if not re.fullmatch("[0-9]{1,4}", layer) or not isinstance(own, dict) or not set(own) <= fields | {"head_dim"}:
            raise _odd(PER_LAYER, name)
        found[str(int(layer))] = {key: _plain(value, key, name) for key, value in sorted(own.items())}
    return found


def _plain(value: Any, key: str, name: str) -> Any:
    """``value`` as it is. Raises UserError for anything but a few numbers and short words."""
    values = list(_values(value))
    if len(values) > MOST_VALUES or not all(map(_is_plain, values)):
        raise _odd(key, name)
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return value is None or (isinstance(value, int | float) and math.isfinite(value) and abs(value) <= WIDEST)


def _values(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list) and depth < 4:
        for each in value:
            yield from _values(each, depth + 1)
    else:
        yield value


def _odd(key: str, name: str) -> UserError:
    return UserError(
        f"The config.json of {quoted(name)} sets {quoted(key)} to what no network has here: numbers up to {WIDEST:,} "
        "and short words are read. Send the files of an image classifier as transformers saves them."
    )
