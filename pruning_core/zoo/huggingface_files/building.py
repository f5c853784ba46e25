"""From a description to a network: on no memory first, so that what would fill it is refused before it is built."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from pruning_core.errors import UserError, clip
from pruning_core.zoo.huggingface_files.described import COUNT, LABELS, Described, from_json
from pruning_core.zoo.huggingface_files.library import configuration, scoring
from pruning_core.zoo.huggingface_files.limits import TooLarge, limited

TRANSFORMERS = "transformers"  # the architecture, as references have it
MOST_WEIGHTS = 1 << 31
TABLES = 1 << 26  # numbers beside those to train: statistics, and positions that a class computes by itself
MOST_LAYERS = 100_000  # modules of every kind


def build_described(repository: str) -> nn.Module:
    """A network with fresh random weights, in train mode, of what ``Described.to_json`` wrote.

    Raises UserError where transformers is not installed, or nothing can be built of it.
    """
    described = from_json(repository)
    outline(described)
    return scoring(described.name)(configured(described))


def check_fits(repository: str, stored: int | None = None) -> None:
    """Raise UserError where what ``Described.to_json`` wrote is no network, or a larger one than ``stored`` numbers
    fill; None: than any that is built here."""
    outline(from_json(repository), MOST_WEIGHTS if stored is None else stored)


def outline(described: Described, most: int = MOST_WEIGHTS) -> nn.Module:
    """The network without memory for its numbers. Raises UserError when it would have more than ``most`` to train, or
    cannot be built."""
    try:
        with limited(most, TABLES, MOST_LAYERS), torch.device("meta"):
            return scoring(described.name)(configured(described))
    except TooLarge as error:
        raise UserError(
            f"This config.json describes a network of more {error} than its weights have, or than are built here. Send "
            "the config.json that belongs to the weights."
        ) from error
    except UserError:
        raise
    except Exception as error:  # a stranger's settings may fail in any way, and all of it means the same
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise UserError(
            f"transformers builds no {described.name} of this config.json: {clip(line, 160)}. Send the files of one "
            "network, as transformers saves them."
        ) from error


def configured(described: Described) -> Any:
    """Its configuration of transformers."""
    settings = copy.deepcopy(dict(described.settings))
    count = settings.pop(COUNT)
    labels = described.labels or tuple(f"LABEL_{at}" for at in range(count))
    names = {LABELS: dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
    return configuration(described.kind)(**settings, **names, num_labels=count)
