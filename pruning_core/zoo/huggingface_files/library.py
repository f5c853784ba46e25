"""The package transformers, where it is installed: the classes that it has for image classifiers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo.advice import EXPORT

LIST = "requirements-huggingface.txt"
ELSEWHERE = frozenset({"timm_wrapper"})  # classes that fetch their architecture from another package, by name
Made = Any  # a configuration of transformers, which this project knows nothing more of


def library() -> Any:
    """The package. Raises UserError, with what installs it, where it is not there."""
    try:
        found = importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(
            "A repository of Hugging Face is rebuilt by the package transformers, which is not installed here. Install "
            f"it with `pip install -r {LIST}` and start PruneScope again, or bring the network as .pt2: {EXPORT}."
        ) from error
    found.utils.logging.set_verbosity_error()  # it tells the server's console what we tell the person
    found.utils.logging.disable_progress_bar()
    return found


@cache
def classifiers() -> Mapping[str, tuple[str, ...]]:
    """model_type -> the names of its classes for images, the usual one first. Raises UserError as ``library``."""
    library()
    names = importlib.import_module("transformers.models.auto.modeling_auto")
    found = names.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    return {
        kind: (each,) if isinstance(each, str) else tuple(each) for kind, each in found.items() if kind not in ELSEWHERE
    }


def configuration(kind: str) -> Any:
    """The class of configurations of ``kind``, one of :func:`classifiers`."""
    return library().CONFIG_MAPPING[kind]


@cache
def scoring(name: str) -> type[nn.Module]:
    """The class called ``name``, with a forward that takes images (N, C, H, W) and gives its scores (N, classes)."""
    found = getattr(library(), name)

    def forward(self: Any, pixel_values: Any) -> Any:
        given = found.forward(self, pixel_values)
        return given.logits if "logits" in given else given[0]

    return type(name, (found,), {"forward": forward, "__module__": __name__})
